"""Our packets against paho's, which shares no code with them, and what a broker may not send."""

from __future__ import annotations

import random
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from service_runtime import mqtt_packets as packets
from service_runtime.mqtt_frames import BUFFER_BYTES, Frames
from service_runtime.mqtt_packets import MalformedPacketError, Will
from service_runtime.mqtt_types import Subscription

LARGEST = 1_000_000


class Sink(paho.Client):
    """paho as it writes, without a socket."""

    def __init__(self) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id="c1", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.written: list[bytes] = []
        self._sock: Any = BytesIO()  # it only asks whether there is one

    def _packet_queue(
        self, _command: int, packet: bytes | bytearray, _mid: int, _qos: int, _info: Any = None
    ) -> Any:
        self.written.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


def properties(kind: int, **values: Any) -> Properties:
    made = Properties(kind)  # type: ignore[no-untyped-call]  # paho does not annotate it
    for name, value in values.items():
        setattr(made, name, value)
    return made


def cut(data: bytes, sizes: list[int]) -> list[tuple[int, bytes]]:
    """What `Frames` makes of these bytes, read in pieces of these sizes over and over."""
    frames, at, found, turn = Frames(LARGEST), 0, [], 0
    while at < len(data):
        room = frames.room()
        size = min(sizes[turn % len(sizes)], len(room), len(data) - at)
        room[:size] = data[at : at + size]
        frames.filled(size)
        at, turn = at + size, turn + 1
        found += [(first, bytes(body)) for first, body in frames.packets()]
    return found


topics = st.from_regex(r"[a-zA-Z0-9_/-]{1,60}", fullmatch=True)


@given(
    topic=topics,
    payload=st.binary(max_size=40_000),
    qos=st.sampled_from((0, 1)),
    retain=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
    correlation=st.none() | st.binary(max_size=200),
    mid=st.integers(1, 65_535),
)
def test_a_publish_is_byte_for_byte_paho_s_and_is_read_back(
    *,
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    expiry_s: int | None,
    correlation: bytes | None,
    mid: int,
) -> None:
    ours = packets.publish_head(
        topic,
        len(payload),
        qos=qos,
        retain=retain,
        mid=mid,
        expiry_s=expiry_s,
        correlation=correlation,
    )
    theirs = Sink()
    given: dict[str, Any] = {}
    if expiry_s is not None:
        given["MessageExpiryInterval"] = expiry_s
    if correlation is not None:
        given["CorrelationData"] = correlation
    theirs._send_publish(
        mid,
        topic.encode(),
        payload,
        qos,
        retain,
        False,
        None,
        properties(PacketTypes.PUBLISH, **given) if given else None,
    )
    assert theirs.written == [ours + payload]
    ((first, body),) = cut(ours + payload, [len(payload) + 1000])
    read = packets.read_publish(first, memoryview(body))
    assert (read.topic, read.payload, read.qos, read.retain) == (topic, payload, qos, retain)
    assert (read.mid, read.correlation) == (mid if qos else 0, correlation)


@given(
    client_id=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    password=st.none() | st.text(max_size=40).filter(lambda text: "\0" not in text),
    clean=st.booleans(),
    will=st.none() | st.builds(Will, topics, st.binary(max_size=300), st.integers(0, 2**32 - 1)),
    keepalive_s=st.integers(0, 65_535),
    numbers=st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 65_535), st.integers(1, 2**28)),
)
def test_a_connect_is_byte_for_byte_paho_s(
    *,
    client_id: str,
    password: str | None,
    clean: bool,
    will: Will | None,
    keepalive_s: int,
    numbers: tuple[int, int, int],
) -> None:
    expiry_s, receive_maximum, largest = numbers
    theirs = Sink()
    theirs._client_id = client_id.encode()
    theirs.username_pw_set("user", password)
    theirs._clean_start = clean
    theirs._connect_properties = properties(
        PacketTypes.CONNECT,
        SessionExpiryInterval=expiry_s,
        ReceiveMaximum=receive_maximum,
        MaximumPacketSize=largest,
    )
    if will is not None:
        about = properties(PacketTypes.WILLMESSAGE, MessageExpiryInterval=will.expiry_s)
        theirs.will_set(will.topic, will.payload, qos=1, retain=True, properties=about)
    theirs._send_connect(keepalive_s)
    ours = packets.connect(
        client_id=client_id,
        username="user",
        password=password,
        keepalive_s=keepalive_s,
        clean_start=clean,
        session_expiry_s=expiry_s,
        receive_maximum=receive_maximum,
        maximum_packet_size=largest,
        will=will,
    )
    assert theirs.written == [ours]


@given(
    wanted=st.lists(
        st.builds(
            Subscription,
            topics,
            st.sampled_from((0, 1)),
            st.booleans(),
            st.booleans(),
            st.sampled_from((0, 1, 2)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_subscribe_and_unsubscribe_are_byte_for_byte_paho_s(wanted: list[Subscription]) -> None:
    theirs = Sink()
    filters = [
        (
            item.topic,
            SubscribeOptions(
                item.qos, item.no_local, item.retain_as_published, item.retain_handling
            ),
        )
        for item in wanted
    ]
    _, mid = theirs._send_subscribe(False, filters)  # type: ignore[arg-type]  # as its own caller
    _, other = theirs._send_unsubscribe(False, [item.topic.encode() for item in wanted])
    assert mid is not None and other is not None
    assert theirs.written == [
        packets.subscribe(mid, wanted),
        packets.unsubscribe(other, [item.topic for item in wanted]),
    ]


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 300_000), min_size=1, max_size=6))
def test_packets_are_cut_alike_however_they_arrive(seed: int, sizes: list[int]) -> None:
    rng = random.Random(seed)
    payloads = [
        rng.randbytes(rng.choice((0, 1, 100, 64_000, 98_000, BUFFER_BYTES + 5)))
        for _ in range(rng.randrange(1, 12))
    ]
    sent = b""
    for payload in payloads:
        head = packets.publish_head(
            "t", len(payload), qos=1, retain=False, mid=7, expiry_s=None, correlation=None
        )
        sent += head + payload
    if min(sizes) < 50:
        sizes = [*sizes, 70_000]  # else a test of megabytes in single bytes
    found = cut(sent, sizes)
    read = [packets.read_publish(first, memoryview(body)).payload for first, body in found]
    assert read == payloads


@given(data=st.binary(max_size=400))
def test_bytes_that_are_no_mqtt_raise_one_error_and_nothing_else(data: bytes) -> None:
    readers = (
        packets.read_connack,
        packets.read_puback,
        packets.read_suback,
        packets.read_disconnect,
        lambda body: packets.read_publish(0x32, body),
        lambda body: packets.read_publish(0x30, body),
    )
    for read in readers:
        with suppress(MalformedPacketError):
            read(memoryview(data))
    with suppress(MalformedPacketError):
        cut(data, [7])


def test_a_packet_over_the_limit_is_refused_before_it_is_taken_in() -> None:
    head = packets.publish_head(
        "t", LARGEST, qos=0, retain=False, mid=0, expiry_s=None, correlation=None
    )
    with pytest.raises(MalformedPacketError, match="limit 1000000"):
        cut(head, [100])


def test_unknown_lengths_and_properties_are_refused() -> None:
    with pytest.raises(MalformedPacketError, match="four bytes"):
        cut(b"\x30\xff\xff\xff\xff\x01", [100])
    with pytest.raises(MalformedPacketError, match="0x7f"):
        packets.read_publish(0x30, memoryview(b"\x00\x01t\x02\x7f\x00"))


def test_connack_numbers_are_read_among_properties_that_nobody_uses() -> None:
    known = properties(
        PacketTypes.CONNACK,
        ReceiveMaximum=20,
        MaximumPacketSize=2_000_000,
        ServerKeepAlive=30,
        SharedSubscriptionAvailable=0,
        AssignedClientIdentifier="me",
        ReasonString="words",
        UserProperty=("a", "b"),
    )
    body = b"\x01\x00" + known.pack()  # type: ignore[no-untyped-call]  # paho does not annotate it
    read = packets.read_connack(memoryview(body))
    assert read.session_present and read.code == 0
    assert read.properties[packets.RECEIVE_MAXIMUM] == 20
    assert read.properties[packets.MAXIMUM_PACKET_SIZE] == 2_000_000
    assert read.properties[packets.SERVER_KEEP_ALIVE] == 30
    assert read.properties[packets.SHARED_AVAILABLE] == 0
