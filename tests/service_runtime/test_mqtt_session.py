"""The session against the real broker: order, acknowledgements, refusals, limits.

Longer than most: one promise of the session after the other, on one broker.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker_config.local import RECORDS, WORKER, LocalBroker
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    DELIVERED,
    LOST,
    NO_SUBSCRIBERS,
    NOT_AUTHORISED,
    QUEUE_FULL,
    Connected,
    ConnectionLostError,
    Message,
    NotAuthorisedError,
    SessionOptions,
    Subscription,
    TooLargeError,
)
from tests.service_runtime.peers import Peer, run, running


def edge(broker: LocalBroker, **options: Any) -> MqttSession:
    given = {"client_id": "edge-test", **options}
    return MqttSession(broker.settings("edge-scope-1"), SessionOptions(**given))


def worker(broker: LocalBroker, **options: Any) -> MqttSession:
    given = {"client_id": "worker-test", **options}
    return MqttSession(broker.settings(WORKER), SessionOptions(**given))


INGEST = "hemowire/v1/ingest/w1/scope-1"
INGEST_ALL = Subscription("hemowire/v1/ingest/w1/+")


async def subscribed(peer: Peer, *subscriptions: Subscription) -> None:
    await peer.next_of(Connected)
    await peer.session.subscribe(subscriptions)


def test_messages_arrive_in_order_with_their_bytes_and_correlation(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(worker(broker)) as receiver, running(edge(broker)) as sender:
            await subscribed(receiver, INGEST_ALL)
            await sender.next_of(Connected)
            futures = [
                sender.session.publish(INGEST, n.to_bytes(4), correlation=b"c%d" % n)
                for n in range(300)
            ]
            assert set(await asyncio.gather(*futures)) == {DELIVERED}
            got = [await receiver.next_of(Message) for _ in range(300)]
            assert [int.from_bytes(m.payload) for m in got] == list(range(300))
            assert got[7].correlation == b"c7"
            assert (got[7].topic, got[7].qos, got[7].retain) == (INGEST, 1, False)
            stamps = [m.received_at_ns for m in got]
            assert stamps == sorted(stamps)

    run(main())


def test_the_socket_has_nodelay_on_the_live_connection(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker)) as peer:
            await peer.next_of(Connected)
            live = peer.session.socket
            assert live is not None
            assert live.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(main())


def test_a_request_and_its_answer_take_milliseconds_not_nagle_times(broker: LocalBroker) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with running(worker(broker)) as w, running(edge(broker)) as e:
            await subscribed(w, INGEST_ALL)
            await subscribed(e, Subscription("hemowire/v1/transfer/scope-1"))
            took = []
            for _ in range(30):
                began = loop.time()
                e.session.send(INGEST, b"?")
                await w.next_of(Message)
                w.session.send("hemowire/v1/transfer/scope-1", b"!")
                await e.next_of(Message)
                took.append(loop.time() - began)
            assert sorted(took)[len(took) // 2] < 0.030

    run(main())


def test_a_denied_publish_reports_0x87(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker)) as peer:
            await peer.next_of(Connected)
            other = "hemowire/v1/ingest/w1/scope-2"
            assert await peer.session.publish(other, b"x") == NOT_AUTHORISED

    run(main())


def test_a_publish_without_subscribers_reports_0x10(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker)) as peer:
            await peer.next_of(Connected)
            nobody = "hemowire/v1/ingest/nobody/scope-1"
            assert await peer.session.publish(nobody, b"x") == NO_SUBSCRIBERS

    run(main())


def test_limits_come_from_connack(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker)) as peer:
            limits = (await peer.next_of(Connected)).limits
            assert limits.receive_maximum == 20
            assert limits.maximum_packet_size == 2_000_000
            assert limits.shared_subscriptions
            with pytest.raises(TooLargeError):
                await peer.session.publish(INGEST, bytes(2_000_000))
            assert await peer.session.publish(INGEST, b"still here") == NO_SUBSCRIBERS

    run(main())


def test_the_window_never_exceeds_the_receive_maximum(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker, window=1000)) as peer:
            limits = (await peer.next_of(Connected)).limits
            flying: list[int] = []
            futures = [peer.session.publish(INGEST, bytes(1000)) for _ in range(500)]
            for future in futures:
                future.add_done_callback(lambda _: flying.append(peer.session.in_flight))
            flying.append(peer.session.in_flight)
            assert set(await asyncio.gather(*futures)) == {NO_SUBSCRIBERS}
            assert max(flying) == limits.receive_maximum

    run(main())


def test_a_full_queue_refuses_by_name_and_sends_the_rest(broker: LocalBroker) -> None:
    async def main() -> None:
        async with running(edge(broker, queue_messages=5)) as peer:
            await peer.next_of(Connected)
            codes: list[int] = []
            for _ in range(40):
                peer.session.send(INGEST, b"x", codes.append)
            assert codes == [QUEUE_FULL] * 15  # 20 in the window, 5 waiting
            last = peer.session.publish(INGEST, b"y")
            with pytest.raises(Exception, match="publish on"):
                await last

    run(main())


def test_publishing_without_a_connection_fails_at_once(broker: LocalBroker) -> None:
    async def main() -> None:
        session = edge(broker)
        codes: list[int] = []
        session.send(INGEST, b"x", codes.append)
        assert codes == [LOST]
        with pytest.raises(ConnectionLostError):
            await session.publish(INGEST, b"x")
        with pytest.raises(ConnectionLostError):
            await session.subscribe([INGEST_ALL])

    run(main())


def test_wrong_credentials_are_fatal_and_not_retried(broker: LocalBroker) -> None:
    async def main() -> None:
        settings = broker.settings("edge-scope-1").model_copy(update={"username": "edge-scope-2"})
        with pytest.raises(NotAuthorisedError) as caught:
            await MqttSession(settings, SessionOptions("edge-test")).run()
        assert caught.value.exit_code == 2

    run(main())


def test_a_message_that_was_not_acknowledged_comes_again(broker: LocalBroker) -> None:
    topic = "hemowire/v1/diagnosis/lab/scope-1"
    kept = {
        "client_id": "records-test",
        "clean_start": False,
        "session_expiry_s": 60,
        "manual_ack": True,
    }

    async def main() -> None:
        options = SessionOptions(**kept)  # type: ignore[arg-type]  # a literal of mixed values
        settings = broker.settings(RECORDS)
        async with running(worker(broker)) as w:
            await w.next_of(Connected)
            async with running(MqttSession(settings, options)) as records:
                await subscribed(records, Subscription("hemowire/v1/diagnosis/+/+"))
                for payload in (b"one", b"two"):
                    await w.session.publish(topic, payload)
                (await records.next_of(Message, lambda m: m.payload == b"one")).ack()
                await records.next_of(Message, lambda m: m.payload == b"two")
            await w.session.publish(topic, b"three")
            async with running(MqttSession(settings, options)) as records:
                assert (await records.next_of(Connected)).session_present
                got = [await records.next_of(Message) for _ in range(2)]
                assert [m.payload for m in got] == [b"two", b"three"]
                for message in got:
                    message.ack()
                    message.ack()  # harmless
        clean = SessionOptions("records-test")
        async with running(MqttSession(settings, clean)) as records:
            await records.next_of(Connected)

    run(main())


def test_the_program_may_await_a_publish_while_its_inbox_is_full(broker: LocalBroker) -> None:
    async def main() -> None:
        session = worker(broker, receive_maximum=5)
        life = asyncio.create_task(session.run())
        answered = 0
        async with running(edge(broker)) as sender:
            await sender.next_of(Connected)
            async for event in session.events():
                if isinstance(event, Connected):
                    await session.subscribe([INGEST_ALL])
                    for n in range(50):
                        sender.session.send(INGEST, b"%d" % n)
                elif isinstance(event, Message):
                    await session.publish("hemowire/v1/transfer/scope-1", b"answer")
                    answered += 1
                    if answered == 50:
                        break
        await session.close()
        await life

    run(main())


def test_a_connection_carries_any_number_of_qos0_messages(broker: LocalBroker) -> None:
    """What the socket has taken must not count against the bound on what it has not."""

    async def main() -> None:
        codes: Counter[int] = Counter()
        async with running(edge(broker)) as sender:
            await sender.next_of(Connected)
            for _ in range(30):
                for _ in range(100):
                    sender.session.send(INGEST, b"x", lambda code: codes.update([code]), qos=0)
                await sender.session.publish(INGEST, b"last")  # those before it are written
        assert codes == {0: 3000}

    run(main())


def test_qos0_overflow_is_dropped_and_counted(broker: LocalBroker) -> None:
    async def main() -> None:
        session = worker(broker, inbox_qos0=3)
        life = asyncio.create_task(session.run())
        events = aiter(session.events())
        assert isinstance(await anext(events), Connected)
        await session.subscribe([INGEST_ALL])
        async with running(edge(broker)) as sender:
            await sender.next_of(Connected)
            for _ in range(10):
                sender.session.send(INGEST, b"x", qos=0)
            await sender.session.publish(INGEST, b"last")
            # Its SUBACK comes after everything that the broker had for us before.
            await session.subscribe([Subscription("hemowire/v1/ingest/w2/+")])
            assert session.counters.received == 11
        kept = [event async for event in _until_last(session)]
        assert (kept, session.counters.dropped_qos0) == ([b"x"] * 3 + [b"last"], 7)
        await session.close()
        await life

    run(main())


async def _until_last(session: MqttSession) -> AsyncIterator[bytes]:
    async for event in session.events():
        if isinstance(event, Message):
            yield event.payload
            if event.payload == b"last":
                return
