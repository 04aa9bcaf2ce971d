"""Clocks are compared with a real records store through a real broker, over links slower one way than the other.

Both ends run on this machine, so the true offset is known: nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.links.profile import Direction, LinkProfile
from benchmarks.links.proxy import open_proxy
from broker_config.local import HEMATOLOGIST, RECORDS, WORKER, LocalBroker, edge_username
from dashboard.records import run_records
from dashboard.settings import RecordsSettings
from service_runtime.boot import boot_id
from service_runtime.clock import BURST
from service_runtime.clock_end import ClockEnd
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message
from service_runtime.session_roles import observer_session
from tests.dashboard.clients import TOPICS, asynchronous
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.topics import Kind

DEADLINE_S = 15.0


@asynccontextmanager
async def records(broker: LocalBroker, folder: Path) -> AsyncIterator[None]:
    """The records program, in this process."""
    settings = RecordsSettings(
        broker=broker.settings(RECORDS),
        database_url=f"sqlite:///{folder}/records.sqlite",
        archive_url=str(folder),
    )
    stop = asyncio.Event()
    program = asyncio.create_task(run_records(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await program


class Comparing:
    """A program that does nothing but compare its clock."""

    def __init__(self, session: MqttSession, peer: str) -> None:
        self.end = ClockEnd(peer, session, TOPICS)
        #: By connection.
        self.answers: list[int] = []
        self._own = TOPICS.build(Kind.CLOCK, peer=peer)
        self._session = session
        self._news = asyncio.Event()

    async def follow(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected():
                    self.answers.append(0)
                    await self.end.connected()
                case Disconnected():
                    self.end.disconnected()
                case Message():
                    assert self.end.hear(event)
                    self.answers[-1] += event.topic == self._own
            self._news.set()

    async def until(self, accept: Callable[[ClockLeg], bool] = lambda _: True) -> ClockLeg:
        """The comparison, once it is as wanted."""
        async with asyncio.timeout(DEADLINE_S):
            while (leg := self.end.leg()) is None or not accept(leg):
                self._news.clear()
                await self._news.wait()
        return leg


@asynccontextmanager
async def comparing(
    broker: LocalBroker, username: str, peer: str, port: int | None = None
) -> AsyncIterator[Comparing]:
    session = MqttSession(broker.settings(username, port=port), observer_session(f"clock-{peer}"))
    program = Comparing(session, peer)
    jobs = (session.run(), program.follow(), program.end.run())
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield program
    finally:
        await session.close()
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("up_ms", "down_ms"), [(100, 0), (0, 100), (20, 20)])
@asynchronous
async def test_the_error_covers_the_truth_on_a_lopsided_link(
    own_broker: LocalBroker, tmp_path: Path, up_ms: float, down_ms: float
) -> None:
    up, down = Direction(delay_ms=up_ms), Direction(delay_ms=down_ms)
    profile = LinkProfile(name="lopsided", title="lopsided", up=up, down=down)
    with open_proxy(profile, "127.0.0.1", own_broker.port, check=False) as link:
        async with (
            records(own_broker, tmp_path),
            comparing(own_broker, edge_username("scope-1"), "scope-1", link.port) as device,
        ):
            leg = await device.until()
    lopsided_ns = abs(up_ms - down_ms) / 2 * 1e6
    assert abs(leg.offset_ns) >= 0.9 * lopsided_ns, "the link misleads as it is meant to"
    assert abs(leg.offset_ns) <= leg.error_ns <= lopsided_ns + 40_000_000
    assert leg.boot_id == leg.records_boot_id == boot_id()


@pytest.mark.parametrize(
    ("username", "peer"),
    [(edge_username("scope-1"), "scope-1"), (WORKER, "w1-0a0b"), (HEMATOLOGIST, HEMATOLOGIST)],
)
@asynchronous
async def test_each_program_may_compare_and_is_right_to_a_millisecond_here(
    own_broker: LocalBroker, tmp_path: Path, username: str, peer: str
) -> None:
    async with records(own_broker, tmp_path), comparing(own_broker, username, peer) as program:
        leg = await program.until(lambda leg: leg.error_ns < 5_000_000)
    assert abs(leg.offset_ns) <= leg.error_ns


@asynchronous
async def test_a_store_that_comes_back_on_another_boot_is_compared_at_once(
    own_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next regular question would be 45 seconds away."""
    async with comparing(own_broker, WORKER, "w1") as worker:
        async with records(own_broker, tmp_path):
            before = await worker.until(lambda _: worker.answers == [BURST])
        monkeypatch.setattr("dashboard.records.boot_id", lambda: "e" * 32)
        async with records(own_broker, tmp_path):
            after = await worker.until(lambda leg: leg.records_boot_id == "e" * 32)
    assert before.records_boot_id == boot_id() == after.boot_id
    assert len(worker.answers) == 1


@asynchronous
async def test_a_new_connection_compares_anew(own_broker: LocalBroker, tmp_path: Path) -> None:
    async with records(own_broker, tmp_path), comparing(own_broker, WORKER, "w1") as worker:
        await worker.until(lambda _: worker.answers == [BURST])  # and then silence
        own_broker.process.kill()
        own_broker.process.start()
        leg = await worker.until(lambda _: len(worker.answers) == 2 and worker.answers[1] > 0)
    assert abs(leg.offset_ns) <= leg.error_ns
