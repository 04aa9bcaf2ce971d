"""Every way carries images whole through the real broker, stores them, and times them by one clock."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.baselines.baseline import Completion, Engine, Method, Site
from benchmarks.baselines.running import (
    BaselineEndedError,
    Running,
    allow_large_packets,
    open_baseline,
    stored_file,
)
from benchmarks.link_limit import Case, a_site
from benchmarks.links import Direction, LinkProfile, open_link
from benchmarks.links.kernel import why_not
from benchmarks.links.link import Implementation
from benchmarks.links.profile import LOOPBACK
from broker_config.local import WORKER, LocalBroker, edge_username

SLOW = LinkProfile(
    name="slow",
    title="16 Mbit/s, 10 ms",
    up=Direction(rate_bit_per_s=16e6, delay_ms=10),
    down=Direction(rate_bit_per_s=16e6, delay_ms=10),
)


@asynccontextmanager
async def a_baseline(
    folder: Path,
    method: Method,
    profile: LinkProfile = LOOPBACK,
    engine: Engine | None = None,
) -> AsyncIterator[tuple[Running, LocalBroker]]:
    """A way through a broker of its own, the device behind such a link."""
    broker = LocalBroker(folder / "broker")
    allow_large_packets(broker.process.rendered)
    kind = Implementation.PROXY if profile.is_shaped else None
    with (
        broker,
        open_link(profile, "127.0.0.1", broker.port, check=False, implementation=kind) as link,
        open_link(LOOPBACK, "127.0.0.1", broker.port) as direct,
    ):
        site = Site(
            edge=broker.settings(edge_username("scope-1")),
            worker=broker.settings(WORKER),
            device_link=link,
            worker_link=direct,
            folder=folder / "archive",
            engine=engine,
        )
        async with open_baseline(method, site) as running:
            yield running, broker


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def carries_images(method: Method, folder: Path) -> None:
    """Three sizes one after another, then four at once."""
    images = [os.urandom(size) for size in (22_000, 300_000, 2_500_000)]
    async with a_baseline(folder, method) as (running, _):
        done = list(await running.send(images))
        at_once = [os.urandom(100_000) for _ in range(4)]
        done += await asyncio.gather(*(running.offer(image) for image in at_once))
        pids = running.pids
    for image, completion in zip(images + at_once, done, strict=True):
        assert completion.failure == ""
        assert completion.sha256 == hashlib.sha256(image).hexdigest()
        assert stored_file(folder / "archive", completion).read_bytes() == image
        assert completion.offered_ns <= completion.started_ns
        assert completion.started_ns < completion.received_ns <= completion.stored_ns
        assert completion.classified_ns == 0
        assert completion.attempts == 1
        assert completion.sent_bytes >= len(image)
    assert set(pids) == {"sender", "receiver"}
    assert not any(is_running(pid) for pid in pids.values())


@pytest.mark.parametrize("method", list(Method))
def test_images_arrive_whole_and_are_timed(method: Method, tmp_path: Path) -> None:
    asyncio.run(carries_images(method, tmp_path))


async def completes_near_the_limit(method: Method, folder: Path) -> None:
    """1 MB over 16 Mbit/s: every way has to let the link work, none can beat it."""
    async with a_baseline(folder, method, SLOW) as (running, _):
        (first, second) = await running.send([os.urandom(1_000_000) for _ in range(2)])
    limit_s = SLOW.transfer_s(1_000_000, SLOW.up)
    assert first.failure == second.failure == ""
    assert limit_s < second.to_stored_s < 2.2 * limit_s


@pytest.mark.parametrize(
    "method",
    [
        Method.HTTP,
        Method.HEMOWIRE,
        pytest.param(Method.SINGLE, marks=pytest.mark.slow),
        pytest.param(Method.BASE64, marks=pytest.mark.slow),
        pytest.param(Method.SEGMENTS, marks=pytest.mark.slow),
    ],
)
def test_the_link_is_between_the_two_ends(method: Method, tmp_path: Path) -> None:
    asyncio.run(completes_near_the_limit(method, tmp_path))


async def meets_a_broker_that_dies(method: Method, folder: Path) -> tuple[Completion, bytes]:
    """The broker is killed with the image half on its way, and comes back at once."""
    image = os.urandom(1_500_000)
    async with a_baseline(folder, method, SLOW) as (running, broker):
        offered = asyncio.create_task(running.offer(image, patience_s=8))
        # The link's own clock, not a wait for something: half of it has passed by then.
        await asyncio.sleep(SLOW.transfer_s(len(image), SLOW.up) / 2)
        await asyncio.to_thread(broker.process.kill)
        await asyncio.to_thread(broker.process.start)
        return await offered, image


@pytest.mark.parametrize("method", [Method.SINGLE, Method.SEGMENTS])
def test_a_lost_connection_costs_a_whole_new_attempt(method: Method, tmp_path: Path) -> None:
    completion, image = asyncio.run(meets_a_broker_that_dies(method, tmp_path))
    assert completion.failure == ""
    assert completion.attempts >= 2
    assert completion.sent_bytes >= 2 * len(image)
    assert stored_file(tmp_path / "archive", completion).read_bytes() == image


def test_base64_chunks_are_lost_with_the_connection(tmp_path: Path) -> None:
    completion, _ = asyncio.run(meets_a_broker_that_dies(Method.BASE64, tmp_path))
    assert "not sent again" in completion.failure
    assert completion.stored_ns == 0


def test_our_own_way_goes_on_where_it_was(tmp_path: Path) -> None:
    completion, image = asyncio.run(meets_a_broker_that_dies(Method.HEMOWIRE, tmp_path))
    assert completion.failure == ""
    # What was in flight goes again: here a quarter of a second of the link, a third of the image.
    assert completion.sent_bytes < 1.7 * len(image)
    assert stored_file(tmp_path / "archive", completion).read_bytes() == image


async def classifies(folder: Path, image: bytes) -> Completion:
    """The shipped network behind the upload."""
    engine = Engine(um_per_px=0.2, threads=1)
    async with a_baseline(folder, Method.HTTP, engine=engine) as (running, _):
        return await running.offer(image)


def test_the_engine_answers_after_the_image_is_stored(tmp_path: Path) -> None:
    field = np.full((300, 300, 3), 230, np.uint8)
    done, encoded = cv2.imencode(".jpg", field)
    assert done
    completion = asyncio.run(classifies(tmp_path, encoded.tobytes()))
    assert completion.failure == ""
    assert completion.stored_ns < completion.classified_ns


async def loses_an_end(folder: Path) -> None:
    """The receiver is killed while an image is under way."""
    async with a_baseline(folder, Method.HTTP) as (running, _):
        os.kill(running.pids["receiver"], signal.SIGKILL)
        await running.offer(os.urandom(1000), patience_s=20)


def test_an_end_that_dies_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(BaselineEndedError, match="http's receiver ended"):
        asyncio.run(loses_an_end(tmp_path))


def test_a_broker_of_another_form_is_not_taken_for_one_with_large_packets(tmp_path: Path) -> None:
    rendered = LocalBroker(tmp_path).process.rendered
    allow_large_packets(rendered)
    assert "max_packet_size 83886080" in rendered.config_file.read_text()
    rendered.config_file.write_text("listener 1\n")
    with pytest.raises(ValueError, match="no max_packet_size"):
        allow_large_packets(rendered)


@pytest.mark.skipif(bool(why_not()), reason=f"no namespaces here: {why_not()}")
@pytest.mark.parametrize("method", [Method.HEMOWIRE, Method.HTTP])
def test_both_ends_may_be_behind_links_of_namespaces(method: Method, tmp_path: Path) -> None:
    case = Case(SLOW, both_ends=True, size_bytes=1_000_000)
    image = os.urandom(case.size_bytes)

    async def send_with_a_cut(site: Site) -> Completion:
        async with open_baseline(method, site) as running:
            offered = asyncio.create_task(running.offer(image, patience_s=20))
            await asyncio.sleep(case.limit_s / 2)
            site.device_link.cut()
            await asyncio.sleep(0.5)
            site.device_link.restore()
            return await offered

    with a_site(case, tmp_path, Implementation.NAMESPACES) as (site, reports):
        completion = asyncio.run(send_with_a_cut(site))
    assert [report.implementation for report in reports] == [Implementation.NAMESPACES] * 2
    assert completion.failure == ""
    assert completion.to_stored_s > case.limit_s + 0.5
    assert completion.sent_bytes < 1.3 * len(image)
    assert stored_file(tmp_path / "archive", completion).read_bytes() == image
