"""What happens when the broker dies, the link is cut, or a second program takes our name.

Longer than most: each way to lose a connection is a short test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import structlog

from broker_config.local import ENGINEER, LocalBroker
from broker_config.serve import free_port
from service_runtime.boot import new_id
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    LOST,
    NO_SUBSCRIBERS,
    Connected,
    ConnectionLostError,
    Disconnected,
    Message,
    NotAuthorisedError,
    Presence,
    SessionOptions,
    Subscription,
    TakenOverError,
)
from tests.service_runtime.peers import DEADLINE_S, Peer, run, running
from wire_protocol.json_messages import Presence as PresenceState
from wire_protocol.json_messages import Status

INGEST = "hemowire/v1/ingest/w1/scope-1"
STATUS = "hemowire/v1/device/lab/{}/status"
FAST = (0.01, 0.2)


def device(broker: LocalBroker, name: str = "scope-1", *, status_of: str = "") -> MqttSession:
    status = Status(state=PresenceState.ONLINE, incarnation=new_id(), program="edge", id=name)
    presence = Presence(STATUS.format(status_of or name), status)
    options = SessionOptions(client_id=f"edge-{name}", backoff_s=FAST)
    return MqttSession(broker.settings(f"edge-{name}"), options, presence)


def onlooker(broker: LocalBroker) -> MqttSession:
    options = SessionOptions(client_id="engineer-test", backoff_s=FAST)
    return MqttSession(broker.settings(ENGINEER), options)


async def announced(peer: Peer) -> None:
    await peer.next_of(Connected)
    await peer.session.announce()


async def next_status(peer: Peer, name: str) -> tuple[PresenceState, str, bool]:
    message = await peer.next_of(Message, lambda m: m.topic == STATUS.format(name))
    status = Status.from_bytes(message.payload)
    return status.state, status.reason, message.retain


def test_status_is_retained_online_and_offline_after_a_clean_stop(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(onlooker(broker)) as watcher:
            await watcher.next_of(Connected)
            async with running(device(broker, "scope-2")) as peer:
                await announced(peer)
                await watcher.session.subscribe([Subscription(STATUS.format("scope-2"))])
                assert await next_status(watcher, "scope-2") == (PresenceState.ONLINE, "", True)
            state, reason, _ = await next_status(watcher, "scope-2")
            assert (state, reason) == (PresenceState.OFFLINE, "stopped")

    run(main())


def test_a_program_that_ends_of_an_error_does_not_say_that_it_was_stopped(
    broker: LocalBroker,
) -> None:
    """The worker that an image ends by an exception takes leave, but it did not choose to."""

    async def main() -> None:
        async with running(onlooker(broker)) as watcher:
            await watcher.next_of(Connected)
            session = device(broker, "scope-2")
            program = asyncio.create_task(session.run())
            async for event in session.events():
                if isinstance(event, Connected):
                    await session.announce()
                    break
            await watcher.session.subscribe([Subscription(STATUS.format("scope-2"))])
            assert await next_status(watcher, "scope-2") == (PresenceState.ONLINE, "", True)
            program.cancel()  # what a TaskGroup does to it when another task raises
            with suppress(asyncio.CancelledError):
                await program
            state, reason, _ = await next_status(watcher, "scope-2")
            assert (state, reason) == (PresenceState.OFFLINE, "failed")

    run(main())


def test_a_broker_that_is_away_is_said_in_words() -> None:
    async def main() -> None:
        with structlog.testing.capture_logs() as lines:
            broker = BrokerSettings(port=free_port(), username="edge-scope-1")
            session = MqttSession(broker, SessionOptions(client_id="edge", backoff_s=FAST))
            task = asyncio.create_task(session.run())
            async with asyncio.timeout(DEADLINE_S):
                while not lines:  # noqa: ASYNC110 - a log has no event to wait for
                    await asyncio.sleep(0.01)
            await session.close()
            await task
        assert (lines[0]["event"], lines[0]["reason"]) == ("broker_away", "Connection refused")

    run(main())


def test_the_last_will_says_offline_when_the_connection_breaks(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(onlooker(broker)) as watcher, running(device(broker, "scope-3")) as peer:
            await watcher.next_of(Connected)
            await announced(peer)
            await watcher.session.subscribe([Subscription(STATUS.format("scope-3"))])
            assert await next_status(watcher, "scope-3") == (PresenceState.ONLINE, "", True)
            cut(peer.session)
            state, reason, _ = await next_status(watcher, "scope-3")
            assert (state, reason) == (PresenceState.OFFLINE, "connection lost")
            await peer.next_of(Disconnected)
            await announced(peer)
            assert (await next_status(watcher, "scope-3"))[0] is PresenceState.ONLINE

    run(main())


def test_no_right_to_ones_own_status_topic_is_fatal(broker: LocalBroker) -> None:
    async def main() -> None:
        session = device(broker, "scope-1", status_of="scope-2")
        life = asyncio.create_task(session.run())
        peer = Peer(session)
        collect = asyncio.create_task(peer.collect())
        await peer.next_of(Connected)
        with pytest.raises(NotAuthorisedError):
            await session.announce()
        with pytest.raises(NotAuthorisedError):
            await life
        await collect

    run(main())


@asynccontextmanager
async def two_of_one_name(
    broker: LocalBroker, settles: asyncio.Event | None = None
) -> AsyncIterator[tuple[list[MqttSession], list[asyncio.Task[None]]]]:
    """Two programs that announce themselves as one, the first of them first, and their lives."""
    sessions = [device(broker, "scope-4") for _ in range(2)]
    lives, collects = [], []
    for session in sessions:
        is_announced = asyncio.Event()
        lives.append(asyncio.create_task(session.run()))
        collects.append(asyncio.create_task(keep_announcing(session, is_announced)))
        if session is sessions[0]:
            await is_announced.wait()
            if settles is not None:
                await settles.wait()
    yield sessions, lives
    for session, life, collect in zip(sessions, lives, collects, strict=True):
        if not life.done():
            await session.close()
            await life
        await collect


async def first_to_end(lives: list[asyncio.Task[None]]) -> int:
    """Which of the two, with the reason that it gave."""
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait(lives, return_when=asyncio.FIRST_COMPLETED)
    (which,) = (number for number, life in enumerate(lives) if life.done())
    with pytest.raises(TakenOverError) as caught:
        lives[which].result()
    assert caught.value.exit_code == 3
    return which


async def published_at_last(session: MqttSession, topic: str, payload: bytes) -> None:
    """What is published on a connection that its rival has just cut is published on the next."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(ConnectionLostError):
                await session.publish(topic, payload)
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("chance", range(4))
def test_of_two_programs_with_one_name_only_one_ends(broker: LocalBroker, chance: int) -> None:
    """The one that gives way must not leave a will that the other takes for a third program's."""

    async def main() -> None:
        async with two_of_one_name(broker) as (sessions, lives):
            ended = await first_to_end(lives)
            stays = sessions[1 - ended]
            async with running(onlooker(broker)) as watcher:
                await watcher.next_of(Connected)
                await watcher.session.subscribe([Subscription(STATUS.format("scope-4"))])
                await watcher.next_of(Message, lambda m: b'"online"' in m.payload)
                await published_at_last(stays, INGEST.replace("scope-1", "scope-4"), b"here")
            assert not lives[1 - ended].done()

    run(main())


def test_a_newcomer_gives_way_to_the_program_that_has_had_its_name_for_long(
    broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection of 0.5 s is a stable one here, so that nobody need wait for 5 s."""
    monkeypatch.setattr("service_runtime.backoff.STABLE_S", 0.5)

    async def main() -> None:
        has_settled = asyncio.Event()
        asyncio.get_running_loop().call_later(0.6, has_settled.set)
        async with two_of_one_name(broker, has_settled) as (_, lives):
            assert await first_to_end(lives) == 1

    run(main())


def test_after_kill_9_of_the_broker_the_session_is_made_anew(own_broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(device(own_broker)) as peer:
            await announced(peer)
            own_broker.process.kill()
            await peer.next_of(Disconnected)
            assert not peer.session.is_connected
            with pytest.raises(ConnectionLostError):
                await peer.session.publish(INGEST, b"while away")
            own_broker.process.start()
            assert not (await peer.next_of(Connected)).session_present
            assert await peer.session.publish(INGEST, b"back") == NO_SUBSCRIBERS
            assert peer.session.counters.connections == 2

    run(main())


def test_what_is_outstanding_when_the_link_breaks_fails_and_is_not_sent_again(
    own_broker: LocalBroker,
) -> None:
    async def main() -> None:
        async with running(device(own_broker)) as peer:
            await peer.next_of(Connected)
            codes: list[int] = []
            own_broker.process.kill()
            for _ in range(30):
                peer.session.send(INGEST, bytes(1000), codes.append)
            waiting = peer.session.publish(INGEST, b"x")
            await peer.next_of(Disconnected)
            assert codes == [LOST] * 30
            with pytest.raises(ConnectionLostError):
                await waiting
            own_broker.process.start()
            await peer.next_of(Connected)
            assert peer.session.in_flight == 0

    run(main())


def test_a_broker_that_is_not_there_is_tried_again(own_broker: LocalBroker) -> None:
    async def main() -> None:
        own_broker.process.stop()
        async with running(device(own_broker)) as peer:
            assert not peer.session.is_connected
            own_broker.process.start()
            await peer.next_of(Connected)

    run(main())


def test_a_frozen_broker_is_noticed_by_keepalive(own_broker: LocalBroker) -> None:
    async def main() -> None:
        options = SessionOptions("edge-frozen", keepalive_s=1, connect_timeout_s=1, backoff_s=FAST)
        session = MqttSession(own_broker.settings("edge-scope-1"), options)
        async with running(session) as peer:
            await peer.next_of(Connected)
            own_broker.process.freeze()
            await peer.next_of(Disconnected)
            own_broker.process.thaw()
            await peer.next_of(Connected)

    run(main())


def test_a_broker_that_comes_back_with_our_earlier_life_does_not_end_us(
    own_broker: LocalBroker,
) -> None:
    """Killed before it saved, it has the status of a life that is over; nobody has taken our name."""

    async def main() -> None:
        async with running(device(own_broker)) as earlier:
            await announced(earlier)
        own_broker.process.stop()  # in order: it saves
        own_broker.process.start()
        async with running(device(own_broker)) as peer:
            await announced(peer)
            for _ in range(2):
                own_broker.process.kill()
                own_broker.process.start()
                await announced(peer)
            async with running(onlooker(own_broker)) as watcher:
                await watcher.next_of(Connected)
                await watcher.session.subscribe([Subscription(STATUS.format("scope-1"))])
                state, _, _ = await next_status(watcher, "scope-1")
                assert state is PresenceState.ONLINE
            assert peer.session.is_connected

    run(main())


def test_close_ends_a_session_that_never_connected(own_broker: LocalBroker) -> None:
    async def main() -> None:
        own_broker.process.stop()
        session = device(own_broker)
        life = asyncio.create_task(session.run())
        await session.close()
        await life
        assert [event async for event in session.events()] == []

    run(main())


def cut(session: MqttSession) -> None:
    """Breaks the TCP connection without a DISCONNECT, as a pulled cable does."""
    live = session.socket
    assert live is not None
    live.shutdown(2)


async def keep_announcing(session: MqttSession, done: asyncio.Event) -> None:
    async for event in session.events():
        if isinstance(event, Connected):
            with suppress(ConnectionLostError, TakenOverError):
                await session.announce()
                done.set()
