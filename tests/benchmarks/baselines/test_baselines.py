"""Every way carries images whole through the real broker, stores them, and times them by one clock."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.baselines.baseline import Engine, Method, Site
from benchmarks.baselines.running import (
    Running,
    allow_large_packets,
    open_baseline,
    stored_file,
)
from benchmarks.links import Direction, LinkProfile, open_link
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
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


@pytest.mark.parametrize("method", list(Method))
def test_images_arrive_whole_and_are_timed(method: Method, tmp_path: Path) -> None:
    asyncio.run(carries_images(method, tmp_path))
