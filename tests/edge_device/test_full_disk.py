"""A disk that is full, or fails, ends no agent: what must be written waits, the rest is left out and logged."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from edge_device import health, outbox_thread
from edge_device.agent import run_edge
from edge_device.outbox import Outbox, read_snapshot
from edge_device.outbox.rows import OutboxTotals
from service_runtime.boot import new_id
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from tests.edge_device.test_agent import MakeSettings, agent, captured, check_all_recorded
from wire_protocol import json_messages as jm
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState

FULL = sqlite3.OperationalError("database or disk is full")
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """Whether the outboxes of a test refuse, and how often each way to use them was refused."""

    def __init__(self, when_full: Exception) -> None:
        self.error: Exception | None = None
        self.refused: set[str] = set()
        self._when_full = when_full

    def fill(self) -> None:
        self.error = self._when_full

    def empty(self) -> None:
        self.error = None

    def use(self, by: str) -> None:
        if self.error is not None and not by.startswith("schema_"):  # made before it was full
            self.refused.add(by)
            raise self.error


@pytest.fixture
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Every outbox that an agent opens from here on is on this disk; retries come at once."""
    disk = Disk(getattr(request, "param", FULL))

    class OutboxOnDisk(Outbox):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder, disk.use)

        @contextmanager
        def transaction(self) -> Iterator[None]:
            with super().transaction():
                yield
                disk.use("transaction")

        def totals(self) -> OutboxTotals:
            disk.use("totals")
            return super().totals()

    monkeypatch.setattr("edge_device.agent.Outbox", OutboxOnDisk)
    monkeypatch.setattr(outbox_thread, "_RETRY_S", 0.02)
    monkeypatch.setattr(health, "_HOUSEKEEPING_S", 0.0)
    monkeypatch.setattr(health, "_LEAST_GAP_S", 0.01)
    return disk


def is_online(far: FarSide) -> bool:
    """Whether the agent is there now; the last test's goodbye may be retained."""
    return len(far.statuses) > 0 and far.statuses[-1].state is jm.Presence.ONLINE


@pytest.mark.parametrize("disk", [FULL, NO_SPACE], ids=["sqlite", "os"], indirect=True)
@in_loop
async def test_a_disk_that_fills_stops_nothing_and_everything_is_recorded_after_it(
    broker: LocalBroker,
    tmp_path: Path,
    make_images: MakeImages,
    edge_settings: MakeSettings,
    disk: Disk,
) -> None:
    make_images(tmp_path / "in", 6)
    settings = edge_settings(broker, tmp_path / "in", health_every_s=1)
    disk.fill()
    async with FarSide(broker).running() as far:
        async with agent(settings):
            await far.until(lambda: is_online(far))
            command = jm.Command(command_id=new_id(), name="report")
            far.command("lab", "scope-1", command.to_bytes())
            await far.until(lambda: len(far.replies) == 1)
            assert not far.replies[0].ok and "disk refuses" in far.replies[0].error
            far.command("lab", "scope-1", command.to_bytes())
            await far.until(lambda: len(far.replies) == 2)
            assert far.replies[1] == far.replies[0], "remembered though the disk would not"
            images = settings.data_dir / "outbox" / "images"
            assert len(list(images.iterdir())) <= 2 * 6, "no try leaves its files behind"
            disk.empty()
            await far.until(lambda: len(far.recorded) == 6)
            disk.fill()  # while states and housekeeping are written
            await asyncio.sleep(0.1)
            disk.empty()
            await far.until(
                lambda: len(far.health) > 0 and far.health[-1].oldest_unrecorded_seq is None
            )
        check_all_recorded(settings, far, 6)
    assert {"totals", "transaction"} <= disk.refused


@in_loop
async def test_damaged_bytes_and_another_store_wait_for_the_disk(
    own_broker: LocalBroker,
    tmp_path: Path,
    make_images: MakeImages,
    edge_settings: MakeSettings,
    disk: Disk,
) -> None:
    make_images(tmp_path / "in", 2)
    settings = edge_settings(own_broker, tmp_path / "in")
    outbox = settings.data_dir / "outbox"
    own_broker.process.kill()
    async with agent(settings):
        await captured(outbox, 2)
        damaged = read_snapshot(outbox).rows[0]
        (outbox / "images" / damaged.image_id).write_bytes(b"?")
        disk.fill()
        own_broker.process.start()
        async with FarSide(own_broker).running() as far:
            # The other image goes on its way; the damaged one waits for its row.
            await far.until(lambda: len(far.archive) == 1)
            assert not far.rejections
            disk.empty()
            await far.until(lambda: len(far.recorded) == 2)
            assert {r.reason for r in far.rejections} == {Reason.DAMAGED_ON_DEVICE}
            await far.until(
                lambda: len(far.health) > 0 and far.health[-1].oldest_unrecorded_seq is None
            )
    states = {row.image_id: row.state for row in read_snapshot(outbox).rows}
    assert set(states.values()) == {OutboxState.RECORDED}


@in_loop
async def test_an_agent_on_a_full_disk_can_be_stopped_and_goes_on_later(
    broker: LocalBroker,
    tmp_path: Path,
    make_images: MakeImages,
    edge_settings: MakeSettings,
    disk: Disk,
) -> None:
    make_images(tmp_path / "in", 3)
    settings = edge_settings(broker, tmp_path / "in")
    disk.fill()
    async with FarSide(broker).running() as far:
        async with asyncio.timeout(20), agent(settings):
            await far.until(lambda: is_online(far))
            while "rows_inserted" not in disk.refused and "transaction" not in disk.refused:  # noqa: ASYNC110 - a disk has no event to wait for
                await asyncio.sleep(0.01)
        assert not list((settings.data_dir / "outbox" / "images").iterdir())
        disk.empty()
        await run_edge(settings, asyncio.Event(), exit_when_done=True)
        check_all_recorded(settings, far, 3)
