"""A moved field reaches the records store: store away, answers lost, restarts of either side.

Longer than most: all of it needs the same two programs and their ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker_config.local import RECORDS, LocalBroker, edge_username
from dashboard.outcomes import read_outcomes, read_store_id
from dashboard.refiles import read_refiles
from dashboard.settings import RecordsSettings
from dashboard.store import RecordsStore
from edge_device.cases import CaseDesk, CaseSettings, Refiling, ledger
from edge_device.outbox import NewCapture, Outbox, OutboxRow, Refusal
from edge_device.outbox.memory import known_store, remember_store
from edge_device.outbox_thread import OutboxThread
from edge_device.rejections import rejection_of
from service_runtime.boot import boot_id, new_id, wall_time
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Subscription
from service_runtime.session_roles import observer_session
from tests.dashboard.records_house import running as records
from wire_protocol.codec import decode
from wire_protocol.json_messages import Presence, Reason, Status, parse_json
from wire_protocol.messages import Refiled
from wire_protocol.topics import Kind, Topics

DEADLINE_S = 30.0
TOPICS = Topics()
PLACE = {"site": "lab", "device": "scope-1"}


class Device:
    """A device's desk, outbox and refiling on a session of its own; the transfer is left out."""

    def __init__(self, folder: Path, broker: LocalBroker, again_s: float = 60.0) -> None:
        self.outbox = Outbox(folder)
        self.disk = OutboxThread(self.outbox)
        self.session = MqttSession(
            broker.settings(edge_username("scope-1")), observer_session(f"test-{new_id()}")
        )
        self.refiling = Refiling(
            self.session,
            self.disk,
            TOPICS,
            **PLACE,
            store_id=known_store(self.outbox),
            again_s=again_s,
        )
        self.desk = CaseDesk(CaseSettings(), self.disk, is_live=True, on_move=self.refiling.moved)
        #: Answers that are lost before the device hears them.
        self.deaf_to = 0
        self.heard: list[Refiled] = []
        self.store_ids: list[str] = []
        self._changed = asyncio.Event()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    async def untold(self) -> int:
        """Moves that nobody confirmed yet, on disk."""
        store_id = self.store_ids[-1] if self.store_ids else ""
        return len(
            await self.disk.call(
                lambda outbox: ledger.untold_refiles(outbox, **PLACE, store_id=store_id, limit=99)
            )
        )

    async def until_told(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self.untold():
                pass

    async def capture(self, case_id: str) -> OutboxRow:
        """A field that the gate refused: its record needs no worker."""
        name = new_id()
        taken = NewCapture(
            source=name,
            source_key=name,
            content=name.encode(),
            captured_at=wall_time(),
            captured_ns=1,
            boot_id=boot_id(),
            clock_synced=True,
            case_id=case_id,
            refusal=Refusal(Reason.FOCUS, "Out of focus: 4.1, at least 12 needed."),
        )
        [row] = await self.disk.add([taken])
        assert row is not None
        return row

    def reject(self, row: OutboxRow) -> None:
        """Says what was captured, with the case that it had then."""
        message = rejection_of(row, **PLACE)
        assert message is not None
        self.session.send(TOPICS.build(Kind.REJECTION, **PLACE), message.to_bytes())

    async def follow(self) -> None:
        async for event in self.session.events():
            match event:
                case Connected():
                    await self.session.subscribe(
                        [
                            Subscription(TOPICS.build(Kind.RECORDED, device="scope-1")),
                            Subscription(TOPICS.build(Kind.RECORDS_STATUS)),
                        ]
                    )
                    self.refiling.connected()
                case Disconnected():
                    self.refiling.disconnected()
                case Message(topic=topic, payload=payload):
                    if topic.endswith("status"):
                        self._status(parse_json(Status, payload))
                    elif isinstance(answer := decode(payload), Refiled):
                        self._answer(answer)
            self._changed.set()

    def _status(self, status: Status) -> None:
        online = status.state is Presence.ONLINE
        if online:
            self.store_ids.append(status.store_id)
        self.refiling.records(online=online, store_id=status.store_id if online else "")

    def _answer(self, answer: Refiled) -> None:
        self.heard.append(answer)
        if self.deaf_to:
            self.deaf_to -= 1
        else:
            self.refiling.acknowledged(answer)


@asynccontextmanager
async def device(folder: Path, broker: LocalBroker, again_s: float = 60.0) -> AsyncIterator[Device]:
    found = Device(folder, broker, again_s)
    jobs = (found.session.run(), found.follow(), found.refiling.run())
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield found
    finally:
        await found.session.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await found.disk.close()
        found.disk.shut()


@pytest.fixture
def settings(tmp_path: Path, own_broker: LocalBroker) -> RecordsSettings:
    (tmp_path / "archive").mkdir()
    return RecordsSettings(
        broker=own_broker.settings(RECORDS),
        database_url=f"sqlite:///{tmp_path}/records.sqlite",
        archive_url=str(tmp_path / "archive"),
    )


def cases(settings: RecordsSettings) -> dict[str, str]:
    return {row.image_id: row.case_id for row in read_outcomes(settings.database_url)}


def restore_an_empty_backup(settings: RecordsSettings) -> None:
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    RecordsStore(settings.database_url, wall_time()).close()


async def until_recorded(settings: RecordsSettings, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(cases(settings)) < count:
            await asyncio.to_thread(os.sched_yield)


def run(test: Callable[[], object]) -> None:
    asyncio.run(asyncio.wait_for(test(), 55))  # type: ignore[arg-type]  # each is an async def


def test_a_field_is_moved_after_and_before_it_is_recorded(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with records(settings), device(tmp_path / "outbox", own_broker) as scope:
            await scope.until(lambda: bool(scope.store_ids))
            first, second = await scope.capture("S-0001"), await scope.capture("S-0001")
            scope.reject(first)
            await until_recorded(settings, 1)
            await scope.desk.move_field(first.image_id, "S-0002", "tech-04")
            await scope.desk.move_field(second.image_id, "S-0003", "tech-04")
            await scope.until(lambda: len(scope.heard) >= 2)
            await scope.until_told()
            scope.reject(second)  # its message still says the old case
            await until_recorded(settings, 2)
        assert cases(settings) == {first.image_id: "S-0002", second.image_id: "S-0003"}
        kept = read_refiles(settings.database_url)
        assert [(r.from_case, r.to_case, r.operator) for r in kept] == [
            ("S-0001", "S-0002", "tech-04"),
            ("S-0001", "S-0003", "tech-04"),
        ]

    run(story)


def test_moves_made_while_the_records_store_is_away_reach_it_in_the_end(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with device(tmp_path / "outbox", own_broker) as scope:
            row = await scope.capture("S-0001")
            for case_id in ("S-0002", "S-0003", "unfiled", "S-0004"):
                await scope.desk.move_field(row.image_id, case_id, "tech-04")
            assert await scope.untold() == 4
        # The device is restarted, too: what it owes is on its disk.
        async with records(settings), device(tmp_path / "outbox", own_broker) as scope:
            await scope.until(lambda: bool(scope.store_ids))
            scope.reject(row)
            await scope.until(lambda: len(scope.heard) >= 4)
            await scope.until_told()
            await until_recorded(settings, 1)
        assert cases(settings) == {row.image_id: "S-0004"}
        assert len(read_refiles(settings.database_url)) == 4

    run(story)


def test_a_lost_answer_makes_the_move_be_said_again_and_recorded_once(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with records(settings), device(tmp_path / "outbox", own_broker, 0.2) as scope:
            await scope.until(lambda: bool(scope.store_ids))
            scope.deaf_to = 2
            row = await scope.capture("S-0001")
            scope.reject(row)
            await until_recorded(settings, 1)
            await scope.desk.move_field(row.image_id, "S-0002", "tech-04")
            await scope.until(lambda: len(scope.heard) >= 3)
            await scope.until_told()
        assert {answer.refile_id for answer in scope.heard} == {scope.heard[0].refile_id}
        assert cases(settings) == {row.image_id: "S-0002"}
        assert len(read_refiles(settings.database_url)) == 1

    run(story)


def test_what_is_confirmed_is_not_said_again(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with records(settings):
            async with device(tmp_path / "outbox", own_broker) as scope:
                await scope.until(lambda: bool(scope.store_ids))
                row = await scope.capture("S-0001")
                await scope.desk.move_field(row.image_id, "S-0002", "tech-04")
                await scope.until_told()
                await scope.disk.call(lambda outbox: remember_store(outbox, scope.store_ids[-1]))
            async with device(tmp_path / "outbox", own_broker, 0.1) as scope:
                await scope.until(lambda: bool(scope.store_ids))
                later = await scope.capture("S-0001")
                await scope.desk.move_field(later.image_id, "S-0003", "tech-04")
                await scope.until(lambda: bool(scope.heard))
                await scope.until_told()
                assert {answer.image_id for answer in scope.heard} == {later.image_id}

    run(story)


def test_a_restored_records_store_is_told_of_every_move_again(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with device(tmp_path / "outbox", own_broker) as scope:
            row = await scope.capture("S-0001")
            await scope.desk.move_field(row.image_id, "S-0002", "tech-04")
            async with records(settings):
                await scope.until(lambda: bool(scope.heard))
                await scope.until_told()
            restore_an_empty_backup(settings)
            async with records(settings):
                await scope.until(lambda: len(scope.store_ids) >= 2)
                scope.reject(row)
                restored = read_store_id(settings.database_url)
                # A move that was told twice is answered twice, also by the store that is no more.
                await scope.until(lambda: scope.heard[-1].store_id == restored)
                await until_recorded(settings, 1)
        assert scope.heard[0].store_id != restored
        assert cases(settings) == {row.image_id: "S-0002"}

    run(story)


def test_a_hundred_moves_are_told_through_a_broker_that_is_killed(
    tmp_path: Path, own_broker: LocalBroker, settings: RecordsSettings
) -> None:
    async def story() -> None:
        async with records(settings), device(tmp_path / "outbox", own_broker, 1.0) as scope:
            await scope.until(lambda: bool(scope.store_ids))
            row = await scope.capture("S-0001")
            scope.reject(row)
            await until_recorded(settings, 1)
            for n in range(100):
                await scope.desk.move_field(row.image_id, f"S-{n + 2:04d}", "tech-04")
                if n == 50:
                    await asyncio.to_thread(own_broker.process.kill)
                    await asyncio.to_thread(own_broker.process.start)
            await scope.until_told()
        assert cases(settings) == {row.image_id: "S-0101"}
        kept = read_refiles(settings.database_url)
        assert sorted(r.number for r in kept) == list(range(1, 101))

    run(story)
