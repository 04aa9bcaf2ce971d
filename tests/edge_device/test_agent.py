"""The agent against the real broker and the real Receiver: every image arrives once, and every end is clean.

Longer than most: all of it needs one agent with broker and receiver.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device.agent import run_edge
from edge_device.outbox import read_snapshot
from edge_device.settings import EdgeSettings
from service_runtime.boot import new_id
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from wire_protocol import json_messages as jm
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.messages import Outcome
from wire_protocol.trace import EDGE_STAGES

MakeSettings = Callable[..., EdgeSettings]


@asynccontextmanager
async def agent(settings: EdgeSettings) -> AsyncIterator[asyncio.Event]:
    """A running agent; its end is waited for, so whatever it raises is seen."""
    stop = asyncio.Event()
    running = asyncio.create_task(run_edge(settings, stop))
    try:
        yield stop
    finally:
        stop.set()
        await running


async def run_to_the_end(settings: EdgeSettings) -> None:
    async with asyncio.timeout(40):
        await run_edge(settings, asyncio.Event(), exit_when_done=True)


async def captured(outbox: Path, count: int) -> None:
    """Waits for rows on disk while there is no broker that could tell."""
    async with asyncio.timeout(10):
        while not (outbox / "outbox.sqlite").exists() or len(read_snapshot(outbox).rows) < count:  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.02)


def check_all_recorded(settings: EdgeSettings, far: FarSide, count: int) -> None:
    """The checker: gapless, every image recorded once with equal bytes."""
    snapshot = read_snapshot(settings.data_dir / "outbox")
    assert [row.seq for row in snapshot.rows] == list(range(1, count + 1))
    for row in snapshot.rows:
        assert row.state is OutboxState.RECORDED, row
        assert far.recorded[row.image_id].sha256 == row.sha256
        assert far.times_recorded[row.image_id] == 1
        if row.outcome is Outcome.DIAGNOSED:
            assert hashlib.sha256(far.archive[row.sha256]).hexdigest() == row.sha256


@in_loop
async def test_every_image_of_a_folder_is_recorded_once_and_the_agent_ends(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    paths = make_images(tmp_path / "in", 20)
    small = {"white_cells": "off", "duplicates": "off"}  # the pictures are, and few differ
    settings = edge_settings(broker, tmp_path / "in", um_per_px=0.2, case_id="C7F3K2", gate=small)
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 20)
        await far.until(lambda: len(far.traces) >= 40)
    rows = read_snapshot(settings.data_dir / "outbox").rows
    assert [row.source for row in rows] == [str(path) for path in paths]
    manifest = far.manifests[rows[0].image_id]
    assert (manifest.um_per_px, manifest.case_id, manifest.width_px) == (0.2, "C7F3K2", 240)
    assert [s.state for s in far.statuses][-1] is jm.Presence.OFFLINE
    by_image: dict[str, list[jm.TraceFragment]] = {}
    for trace in far.traces:
        by_image.setdefault(trace.image_id, []).append(trace)
    for fragments in by_image.values():
        assert len(fragments) == 2, "one when queued, one when uploaded"
        stamps = fragments[1].stamps_ns
        assert set(stamps) <= {stage.value for stage in EDGE_STAGES}
        in_order = [stamps[stage.value] for stage in EDGE_STAGES if stage.value in stamps]
        assert in_order == sorted(in_order) and "queued" in stamps and "last_sent" in stamps


@in_loop
async def test_what_is_no_image_ends_as_a_recorded_rejection(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 2)
    (tmp_path / "in" / "text.jpg").write_text("this is no image")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "in" / "labels.txt").write_text("0 1 2 3")
    settings = edge_settings(broker, tmp_path / "in", encode={"max_bytes": 1_000_000})
    (tmp_path / "in" / "huge.tif").write_bytes(bytes(1_000_001))
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 5)
        reasons = {r.image_id: r.reason for r in far.rejections}
    rows = {Path(row.source).name: row for row in read_snapshot(settings.data_dir / "outbox").rows}
    assert "labels.txt" not in rows
    assert reasons[rows["text.jpg"].image_id] is Reason.DECODE
    assert reasons[rows["empty.png"].image_id] is Reason.DECODE
    assert reasons[rows["huge.tif"].image_id] is Reason.TOO_LARGE
    assert rows["huge.tif"].sha256 == hashlib.sha256(bytes(1_000_001)).hexdigest()
    assert all(rows[name].outcome is Outcome.REJECTED for name in ("text.jpg", "huge.tif"))


@in_loop
async def test_a_rejection_is_published_until_it_is_recorded(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings
) -> None:
    (tmp_path / "in").mkdir()
    camera = {"kind": "folder", "folder": tmp_path / "in", "mode": "watch", "poll_s": 0.05}
    settings = edge_settings(
        broker,
        tmp_path / "in",
        camera=camera | {"settle_s": 0},
        transfer={"inquiry_first_s": 0.2, "inquire_after_s": 0.1},
    )
    far = FarSide(broker)
    far.records_answer = False
    async with far.running(), agent(settings):
        await far.until(lambda: len(far.health) > 0)  # connected: what is said now is heard
        (tmp_path / "in" / "text.jpg").write_text("this is no image")
        await far.until(lambda: len(far.rejections) > 0)
        unheard = len(far.rejections)
        far.records_answer = True
        await far.until(lambda: len(far.rejections) > unheard)
        await far.until(
            lambda: len(far.health) > 0 and far.health[-1].oldest_unrecorded_seq is None
        )
        check_all_recorded(settings, far, 1)


@in_loop
async def test_captures_without_a_broker_and_sends_when_it_is_there(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 5)
    settings = edge_settings(own_broker, tmp_path / "in")
    own_broker.process.kill()
    outbox = settings.data_dir / "outbox"
    async with agent(settings):
        await captured(outbox, 5)
        own_broker.process.start()
        async with FarSide(own_broker).running() as far:
            await far.until(lambda: len(far.recorded) == 5)


@in_loop
async def test_a_stopped_agent_goes_on_where_it_was_and_captures_nothing_twice(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 12)
    quick = {"inquiry_first_s": 0.2, "inquire_after_s": 0.2}
    settings = edge_settings(broker, tmp_path / "in", transfer=quick)
    far = FarSide(broker)
    async with far.running():
        async with agent(settings):
            await far.until(lambda: len(far.recorded) >= 3)
        assert 3 <= len(far.recorded) <= 12
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 12)


@in_loop
async def test_commands_are_answered_and_a_repeat_gets_the_same_answer(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 1)
    settings = edge_settings(broker, tmp_path / "in")
    async with FarSide(broker).running() as far:
        async with agent(settings):
            await far.until(lambda: len(far.recorded) == 1)

            async def ask(name: str, command_id: str) -> jm.Reply:
                before = len(far.replies)
                command = jm.Command(command_id=command_id, name=name)
                far.command("lab", "scope-1", command.to_bytes())
                await far.until(lambda: len(far.replies) > before)
                return far.replies[-1]

            first = new_id()
            report = await ask("report", first)
            assert report.ok and report.result["next_seq"] == 2
            assert await ask("report", first) == report, "uptime would differ if it ran again"
            unknown = await ask("explode", new_id())
            assert not unknown.ok and "known: calibrate, capture" in unknown.error
            assert (await ask("pause", new_id())).result == {"paused": True}
            make_images(tmp_path / "in", 1)
            assert (await ask("resume", new_id())).result == {"paused": False}
        async with agent(settings):
            await far.until(lambda: far.statuses[-1].state is jm.Presence.ONLINE)
            assert (await ask("report", first)) == report, "remembered over a restart"


@in_loop
async def test_the_capture_stops_when_the_outbox_is_full_and_goes_on_when_it_is_not(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    bound, count = 4, 9
    make_images(tmp_path / "in", count)
    limits = {"max_images": bound, "min_free_bytes": 0}
    settings = edge_settings(broker, tmp_path / "in", outbox=limits)
    far = FarSide(broker)
    far.records_answer = False
    async with far.running(), agent(settings):
        await far.until(lambda: len(far.statuses) > 0 and "outbox full" in far.statuses[-1].reason)
        held = read_snapshot(settings.data_dir / "outbox").rows
        assert len(held) <= bound
        far.records_answer = True
        for image_id, manifest in far.manifests.items():
            far.record(image_id, manifest.sha256, Outcome.DIAGNOSED, "scope-1")
        await far.until(lambda: len(far.recorded) == count)
        await far.until(lambda: far.statuses[-1].reason == "")


@in_loop
async def test_an_agent_that_was_full_before_it_connected_says_so(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 3)
    limits = {"max_images": 1, "min_free_bytes": 0}
    settings = edge_settings(own_broker, tmp_path / "in", outbox=limits)
    own_broker.process.kill()
    async with agent(settings):
        await captured(settings.data_dir / "outbox", 1)
        own_broker.process.start()
        far = FarSide(own_broker)
        far.records_answer = False
        async with far.running():
            await far.until(lambda: any("outbox full" in s.reason for s in far.statuses))


@in_loop
async def test_bytes_damaged_on_the_disk_are_quarantined_and_rejected(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 3)
    settings = edge_settings(own_broker, tmp_path / "in")
    outbox = settings.data_dir / "outbox"
    async with agent(settings):  # captures; there is no worker
        await captured(outbox, 3)
    damaged = read_snapshot(outbox).rows[1]
    path = outbox / "images" / damaged.image_id
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    async with FarSide(own_broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 3)
        # The same rejection may be told twice, which is harmless.
        assert {(r.image_id, r.reason) for r in far.rejections} == {
            (damaged.image_id, Reason.DAMAGED_ON_DEVICE)
        }


@in_loop
async def test_another_records_store_is_asked_about_and_told_again(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 4)
    (tmp_path / "in" / "text.jpg").write_text("this is no image")
    settings = edge_settings(broker, tmp_path / "in", transfer={"inquiry_first_s": 0.2})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 5)
        kept = next(iter(far.manifests))
        async with agent(settings):
            await far.until(lambda: far.statuses[-1].state is jm.Presence.ONLINE)
            await far.become_another_store(knowing=(kept,))
            await far.until(lambda: len(far.recorded) == 5)
            assert len(far.archive) == 4
        assert sorted(far.times_recorded.values()) == [1, 2, 2, 2, 2]
        snapshot = read_snapshot(settings.data_dir / "outbox")
        assert {row.state for row in snapshot.rows} == {OutboxState.RECORDED}


@in_loop
async def test_an_agent_that_dies_before_another_store_answered_asks_it_again(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    make_images(tmp_path / "in", 3)
    settings = edge_settings(broker, tmp_path / "in", transfer={"inquiry_first_s": 0.2})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 3)
        far.records_answer = False
        async with agent(settings):
            await far.until(lambda: far.statuses[-1].state is jm.Presence.ONLINE)
            far.inquired.clear()
            await far.become_another_store()
            await far.until(lambda: far.inquired >= far.manifests.keys())
        far.records_answer = True
        async with agent(settings):
            await far.until(lambda: len(far.recorded) == 3)


@pytest.mark.parametrize("size", [1, 300_000, 3_000_000])
@in_loop
async def test_images_of_every_size_arrive_whole(
    broker: LocalBroker, tmp_path: Path, edge_settings: MakeSettings, size: int
) -> None:
    import cv2
    import numpy as np

    side = max(1, int((size / 3) ** 0.5))
    noise = np.random.default_rng(size).integers(0, 256, (side, side, 3), np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "noise.png"), noise)
    settings = edge_settings(broker, tmp_path / "in", gate={"enabled": False})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        check_all_recorded(settings, far, 1)
        assert len(next(iter(far.archive.values()))) >= size
