"""The short way for PUBLISH against paho's own packets and its own reading, and what is not plain."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from service_runtime.joined_socket import JoinedSocket
from service_runtime.paho_client import Publish, publish_packet, read_publish

topics = st.from_regex(r"[a-zA-Z0-9_/-]{1,60}", fullmatch=True)


class Written(paho.Client):
    """paho as it writes, without a broker."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.packets: list[bytes] = []
        self._sock: Any = BytesIO()  # it only asks whether there is one

    def _packet_queue(
        self, _command: int, packet: bytes | bytearray, _mid: int, _qos: int, _info: Any = None
    ) -> Any:
        self.packets.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


def properties(**values: Any) -> Properties:
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's own
    for name, value in values.items():
        setattr(made, name, value)
    return made


def body(packet: bytes) -> bytes:
    """A packet after its fixed header."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return packet[at + 1 :]


@given(
    topic=topics,
    payload=st.binary(max_size=40_000),
    qos=st.sampled_from((0, 1)),
    retain=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
    correlation=st.none() | st.binary(max_size=200),
    mid=st.integers(1, 65_535),
)
def test_a_publish_is_byte_for_byte_paho_s_and_is_read_as_paho_reads_it(
    *,
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    expiry_s: int | None,
    correlation: bytes | None,
    mid: int,
) -> None:
    ours = bytes(
        publish_packet(
            topic,
            payload,
            qos=qos,
            retain=retain,
            mid=mid,
            expiry_s=expiry_s,
            correlation=correlation,
        )
    )
    theirs = Written()
    carried: dict[str, Any] = {}
    if expiry_s is not None:
        carried["MessageExpiryInterval"] = expiry_s
    if correlation is not None:
        carried["CorrelationData"] = correlation
    about = properties(**carried) if carried else None
    theirs._send_publish(mid, topic.encode(), payload, qos, retain, False, None, about)
    assert theirs.packets == [ours]
    read = read_publish(ours[0], bytearray(body(ours)))
    if correlation is not None and len(correlation) > 115:
        return  # the length of the properties may take two bytes: paho reads those
    assert read == Publish(topic, payload, qos, retain, mid if qos else 0, correlation)


@given(first=st.integers(0x30, 0x3F), packet=st.binary(max_size=80))
def test_what_is_read_the_short_way_paho_reads_alike(first: int, packet: bytes) -> None:
    """Any bytes: either they are left to paho, or both see the same message."""
    read = read_publish(first, packet)
    if read is None:
        return
    theirs = _packet.decode_publish(first, packet, MQTTProtocolVersion.MQTTv5)
    assert (read.topic.encode(), read.payload) == (theirs.topic, theirs.payload)
    assert (read.qos, read.retain, read.mid) == (theirs.qos, theirs.retain, theirs.mid)
    assert read.correlation == getattr(theirs.properties, "CorrelationData", None)


def test_other_properties_qos_2_and_broken_packets_are_left_to_paho() -> None:
    for carried in ({"UserProperty": ("a", "b")}, {"ContentType": "x"}, {"TopicAlias": 3}):
        theirs = Written()
        theirs._send_publish(1, b"t", b"p", 1, False, False, None, properties(**carried))
        assert read_publish(theirs.packets[0][0], body(theirs.packets[0])) is None
    good = bytes(
        publish_packet(
            "topic", b"p", qos=1, retain=False, mid=1, expiry_s=9, correlation=b"correlation"
        )
    )
    assert read_publish(0x34, body(good)) is None
    header = len(body(good)) - 1  # all but the payload
    assert all(read_publish(0x32, body(good)[:size]) is None for size in range(header))


@contextmanager
def pair() -> Iterator[tuple[JoinedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield JoinedSocket(ours), theirs


@settings(deadline=None)
@given(
    packets=st.lists(st.integers(1, 300_000), min_size=1, max_size=12),
    taken=st.lists(st.integers(2_000, 100_000), min_size=1, max_size=5),
)
def test_what_is_sent_arrives_whole_and_in_order_however_the_socket_takes_it(
    packets: list[int], taken: list[int]
) -> None:
    sent = [bytes([number % 251]) * size for number, size in enumerate(packets)]
    wanted = b"".join(sent)
    arrived = b""
    with pair() as (ours, theirs):
        turn = 0
        while sent or ours.is_waiting:
            with suppress(BlockingIOError):
                while sent:
                    assert ours.send(bytearray(sent[0])) == len(sent[0])
                    sent.pop(0)
            ours.flush()
            with suppress(BlockingIOError):
                arrived += theirs.recv(taken[turn % len(taken)])
            turn += 1
        with suppress(BlockingIOError):
            while data := theirs.recv(1_000_000):
                arrived += data
    assert arrived == wanted


@settings(deadline=None)
@given(sizes=st.lists(st.integers(500, 70_000), min_size=1, max_size=40))
def test_what_is_read_arrives_whole_and_in_order_in_pieces_of_any_size(sizes: list[int]) -> None:
    wanted = bytes(range(256)) * 600
    read = b""
    with pair() as (ours, theirs):
        theirs.sendall(wanted)
        theirs.shutdown(socket.SHUT_WR)
        turn, is_over = 0, False
        while not is_over:
            ours.arm()
            with suppress(BlockingIOError):
                while True:
                    data = ours.recv(sizes[turn % len(sizes)])
                    assert len(data) <= sizes[turn % len(sizes)]
                    read, turn, is_over = read + data, turn + 1, not data
                    if is_over:
                        break
    assert read == wanted


def test_one_read_of_the_socket_a_turn_and_none_after_its_end() -> None:
    with pair() as (ours, theirs):
        theirs.sendall(b"abc")
        with suppress(BlockingIOError):
            raise AssertionError(f"read without being armed: {ours.recv(1)!r}")
        ours.arm()
        assert (ours.recv(1), ours.has_more, ours.recv(5), ours.has_more) == (
            b"a",
            True,
            b"bc",
            False,
        )
        ours.close()
        for ask in (lambda: ours.recv(1), lambda: ours.send(b"x")):
            try:
                ask()
            except ConnectionError:
                continue
            raise AssertionError("a closed socket went on")
