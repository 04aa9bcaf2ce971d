"""The shell around the receiver: what disagrees with its topic is dropped and counted, never obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from zlib import crc32

import pytest

from cloud_worker.intake import Intake
from cloud_worker.stamps import REMEMBERED, Stamps
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Message
from service_runtime.session_roles import worker_session
from tests.cloud_worker.images import a_manifest
from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import encode
from wire_protocol.json_messages import Presence, Status
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage

DATA = b"0123456789" * 500
TOPICS = Topics()
OFFER = TOPICS.build(Kind.OFFER, site="lab", device="scope-1")
INGEST = TOPICS.build(Kind.INGEST, worker="w1", device="scope-1")
CHUNK = m.Chunk(1, 0, crc32(b"x"), b"x")


def message(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, 1, False, None, 0, lambda: None)


def with_intake(work: Callable[[Intake, list[io.Store | io.Fetch]], None]) -> None:
    """An intake whose session is not connected: what it publishes is lost, as the wire may do."""

    async def main() -> None:
        session = MqttSession(BrokerSettings(username="nobody"), worker_session("w1"))
        taken: list[io.Store | io.Fetch] = []
        receiver = Receiver(worker="w1", topics=TOPICS, random64=lambda: 7)
        intake = Intake(
            "w1",
            receiver=receiver,
            session=session,
            topics=TOPICS,
            stamps=Stamps("w1"),
            take_image=taken.append,
        )
        work(intake, taken)
        intake.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("topic", "payload", "cause"),
    [
        (OFFER, encode(CHUNK), "disagrees_with_topic"),
        (INGEST, encode(m.Offer(attempt=1, manifest=a_manifest(DATA))), "disagrees_with_topic"),
        (TOPICS.build(Kind.INGEST, worker="w2", device="scope-1"), encode(CHUNK),
         "disagrees_with_topic"),
        (OFFER, b"\x10\x01 not msgpack", "malformed"),
        (INGEST, b"", "malformed"),
        (OFFER, b"\x20" + encode(CHUNK)[1:], "malformed"),
        ("hemowire/v1/offer/lab/scope-1/more", encode(CHUNK), "unknown_topic"),
        (TOPICS.build(Kind.DEVICE_STATUS, site="lab", device="scope-2"),
         Status(state=Presence.ONLINE, incarnation="0" * 32, program="edge", id="scope-1")
         .to_bytes(), "disagrees_with_topic"),
    ],
)  # fmt: skip
def test_it_drops_and_counts(topic: str, payload: bytes, cause: str) -> None:
    def work(intake: Intake, taken: list[io.Store | io.Fetch]) -> None:
        intake.receive(message(topic, payload))
        assert intake.dropped == {cause: 1}
        assert not taken

    with_intake(work)


def test_an_inline_offer_becomes_an_image_of_the_topics_site_and_device() -> None:
    def work(intake: Intake, taken: list[io.Store | io.Fetch]) -> None:
        manifest = a_manifest(DATA)
        intake.receive(message(OFFER, encode(m.Offer(attempt=9, manifest=manifest, inline=DATA))))
        (store,) = taken
        assert isinstance(store, io.Store)
        assert (store.site, store.device, store.attempt) == ("lab", "scope-1", 9)
        assert bytes(store.data) == DATA
        assert intake.unfinished == 1
        intake.tell(io.Put(store.key))
        assert intake.unfinished == 0

    with_intake(work)


def test_a_late_will_of_an_earlier_life_does_not_end_this_ones_transfers() -> None:
    topic = TOPICS.build(Kind.DEVICE_STATUS, site="lab", device="scope-1")

    def say(state: Presence, incarnation: str) -> Message:
        status = Status(state=state, incarnation=incarnation * 32, program="edge", id="scope-1")
        return message(topic, status.to_bytes())

    def work(intake: Intake, taken: list[io.Store | io.Fetch]) -> None:
        intake.receive(say(Presence.ONLINE, "b"))
        offer = m.Offer(attempt=9, manifest=a_manifest(DATA))
        intake.receive(message(OFFER, encode(offer)))
        assert intake.unfinished == 1
        intake.receive(say(Presence.OFFLINE, "a"))
        assert intake.unfinished == 1
        intake.receive(say(Presence.OFFLINE, "b"))
        assert intake.unfinished == 0  # kept, but nobody is owed an answer
        assert not intake.dropped

    with_intake(work)


def test_stamps_become_one_fragment_and_are_bounded() -> None:
    stamps = Stamps("w1")
    first, second = f"{0:032x}", f"{1:032x}"
    for number in range(REMEMBERED + 1):
        stamps.mark(f"{number:032x}", Stage.FIRST_RECEIVED, number)
    stamps.mark(second, Stage.DECODED, 9)
    assert stamps.take(second, 3, 10).stamps_ns == {"first_received": 1, "decoded": 9}
    assert stamps.take(second, 3, 10).stamps_ns == {}
    assert stamps.take(first, 3, 10).stamps_ns == {}  # the oldest went first
