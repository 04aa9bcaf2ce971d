"""MQTT 5 packets as a client of ours writes and reads them; pure, no sockets, and nothing of QoS 2.

Numbers in brackets are sections of the OASIS standard. A packet that cannot be read raises
MalformedPacketError; properties that we do not use are skipped by their type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from service_runtime.mqtt_types import Subscription

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGRESP, DISCONNECT = 0xD0, 0xE0
PING: Final = b"\xc0\x00"
GOODBYE: Final = b"\xe0\x00"

SESSION_EXPIRY, RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE = 0x11, 0x21, 0x27
SERVER_KEEP_ALIVE, TOPIC_ALIAS_MAXIMUM, MAXIMUM_QOS = 0x13, 0x22, 0x24
RETAIN_AVAILABLE, WILDCARDS_AVAILABLE, SHARED_AVAILABLE = 0x25, 0x28, 0x2A
MESSAGE_EXPIRY, CORRELATION = 0x02, 0x09
#: Width of each property's value (2.2.2.2); the others are strings, binary or pairs of strings.
_WIDTHS: Final = {
    0x01: 1, 0x17: 1, 0x19: 1, 0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1,
    0x13: 2, 0x21: 2, 0x22: 2, 0x23: 2, 0x02: 4, 0x11: 4, 0x18: 4, 0x27: 4,
}  # fmt: skip
_PREFIXED: Final = frozenset((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F))
_SUBSCRIPTION_ID, _USER_PROPERTY = 0x0B, 0x26

#: Reason codes of CONNACK and DISCONNECT in words (2.4).
REASONS: Final = {
    0x00: "Normal disconnection", 0x80: "Unspecified error", 0x81: "Malformed packet",
    0x82: "Protocol error", 0x83: "Implementation specific error",
    0x84: "Unsupported protocol version", 0x85: "Client identifier not valid",
    0x86: "Bad user name or password", 0x87: "Not authorized", 0x88: "Server unavailable",
    0x89: "Server busy", 0x8A: "Banned", 0x8B: "Server shutting down",
    0x8C: "Bad authentication method", 0x8D: "Keep alive timeout", 0x8E: "Session taken over",
    0x90: "Topic name invalid", 0x93: "Receive maximum exceeded", 0x95: "Packet too large",
    0x97: "Quota exceeded", 0x98: "Administrative action", 0x9C: "Use another server",
    0x9D: "Server moved", 0x9F: "Connection rate exceeded",
}  # fmt: skip


class MalformedPacketError(ValueError):
    """The broker sent what MQTT 5 does not allow, or what we never asked for."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we vanish."""

    topic: str
    payload: bytes
    expiry_s: int


@dataclass(frozen=True, slots=True)
class Connack:
    """The broker's answer to CONNECT; `properties` holds the numbers among them."""

    code: int
    session_present: bool
    properties: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """An incoming PUBLISH; `mid` is 0 with QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    correlation: bytes | None


# --- written -------------------------------------------------------------------------------------


def connect(
    *,
    client_id: str,
    username: str,
    password: str | None,
    keepalive_s: int,
    clean_start: bool,
    session_expiry_s: int,
    receive_maximum: int,
    maximum_packet_size: int,
    will: Will | None,
) -> bytes:
    """CONNECT (3.1)."""
    flags = 0x80 | (0x40 if password is not None else 0) | (0x02 if clean_start else 0)
    properties = (
        bytes((SESSION_EXPIRY,)) + session_expiry_s.to_bytes(4, "big")
        + bytes((RECEIVE_MAXIMUM,)) + receive_maximum.to_bytes(2, "big")
        + bytes((MAXIMUM_PACKET_SIZE,)) + maximum_packet_size.to_bytes(4, "big")
    )  # fmt: skip
    payload = _text(client_id)
    if will is not None:
        flags |= 0x04 | 0x08 | 0x20  # a will, QoS 1, retained
        expiry = bytes((MESSAGE_EXPIRY,)) + will.expiry_s.to_bytes(4, "big")
        payload += _varint(len(expiry)) + expiry + _text(will.topic) + _binary(will.payload)
    payload += _text(username)
    if password is not None:
        payload += _text(password)
    body = (
        _text("MQTT") + bytes((5, flags)) + keepalive_s.to_bytes(2, "big")
        + _varint(len(properties)) + properties + payload
    )  # fmt: skip
    return _packet(CONNECT, body)


def publish_head(
    topic: str,
    size: int,
    *,
    qos: int,
    retain: bool,
    mid: int,
    expiry_s: int | None,
    correlation: bytes | None,
) -> bytes:
    """All of a PUBLISH (3.3) before its payload of `size` bytes."""
    properties = b""
    if expiry_s is not None:
        properties = bytes((MESSAGE_EXPIRY,)) + expiry_s.to_bytes(4, "big")
    if correlation is not None:
        properties += bytes((CORRELATION,)) + _binary(correlation)
    variable = _text(topic)
    if qos:
        variable += mid.to_bytes(2, "big")
    variable += _varint(len(properties)) + properties
    first = PUBLISH | qos << 1 | (1 if retain else 0)
    return bytes((first,)) + _varint(len(variable) + size) + variable


def puback(mid: int) -> bytes:
    """PUBACK with success (3.4)."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def subscribe(mid: int, subscriptions: Sequence[Subscription]) -> bytes:
    """SUBSCRIBE (3.8)."""
    body = mid.to_bytes(2, "big") + b"\x00"
    for item in subscriptions:
        options = item.qos | item.no_local << 2 | item.retain_as_published << 3
        body += _text(item.topic) + bytes((options | item.retain_handling << 4,))
    return _packet(SUBSCRIBE, body)


def unsubscribe(mid: int, topics: Sequence[str]) -> bytes:
    """UNSUBSCRIBE (3.10)."""
    return _packet(UNSUBSCRIBE, mid.to_bytes(2, "big") + b"\x00" + b"".join(map(_text, topics)))


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _varint(len(body)) + body


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _varint(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# --- read ----------------------------------------------------------------------------------------


def read_length(data: memoryview | bytearray, at: int, end: int) -> tuple[int, int] | None:
    """A variable byte integer (1.5.5) at `at` and where it ends; None where it is not all here."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 21:
            raise MalformedPacketError("a length of more than four bytes")
    return None


def read_connack(body: memoryview) -> Connack:
    """CONNACK (3.2)."""
    if len(body) < 2:
        raise MalformedPacketError("CONNACK of less than two bytes")
    numbers: dict[int, int] = {}
    if len(body) > 2:
        _read_properties(body, 2, numbers)
    return Connack(body[1], bool(body[0] & 1), numbers)


def read_publish(first: int, body: memoryview) -> Published:
    """PUBLISH (3.3) of QoS 0 or 1; its payload is copied out of `body`."""
    qos = first >> 1 & 3
    if qos > 1 or len(body) < 3:
        raise MalformedPacketError(f"PUBLISH with QoS {qos} of {len(body)} bytes")
    at = 2 + (body[0] << 8 | body[1])
    mid = 0
    if qos:
        if at + 2 > len(body):
            raise MalformedPacketError("PUBLISH ends within its topic or packet id")
        mid = body[at] << 8 | body[at + 1]
        at += 2
        if not mid:
            raise MalformedPacketError("PUBLISH with packet id 0")
    if at >= len(body):
        raise MalformedPacketError("PUBLISH ends before its properties")
    topic = _read_text(body, 2, at - 2 if qos else at)
    correlation = None
    if body[at] == 0:
        at += 1
    else:
        binaries: dict[int, bytes] = {}
        at = _read_properties(body, at, {}, binaries)
        correlation = binaries.get(CORRELATION)
    return Published(topic, bytes(body[at:]), qos, bool(first & 1), mid, correlation)


def read_puback(body: memoryview) -> tuple[int, int]:
    """PUBACK (3.4): packet id and reason code."""
    if len(body) < 2:
        raise MalformedPacketError("PUBACK of less than two bytes")
    return body[0] << 8 | body[1], body[2] if len(body) > 2 else 0


def read_suback(body: memoryview) -> tuple[int, list[int]]:
    """SUBACK or UNSUBACK (3.9, 3.11): packet id and one reason code each."""
    if len(body) < 3:
        raise MalformedPacketError("SUBACK of less than three bytes")
    at = _read_properties(body, 2, {})
    return body[0] << 8 | body[1], list(body[at:])


def read_disconnect(body: memoryview) -> int:
    """DISCONNECT (3.14): the reason code."""
    return body[0] if len(body) else 0


def _read_text(body: memoryview, start: int, end: int) -> str:
    try:
        return str(body[start:end], "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacketError(f"a topic that is not UTF-8 ({error.reason})") from error


def _read_properties(
    body: memoryview,
    at: int,
    numbers: dict[int, int],
    binaries: dict[int, bytes] | None = None,
) -> int:
    """Reads the properties that begin at `at` with their length (2.2.2); returns where they end."""
    found = read_length(body, at, len(body))
    if found is None or found[1] + found[0] > len(body):
        raise MalformedPacketError("properties that end after their packet")
    size, at = found
    end = at + size
    while at < end:
        name = body[at]
        at += 1
        width = _WIDTHS.get(name)
        if width is not None:
            numbers[name] = int.from_bytes(body[at : at + width], "big")
            at += width
        elif name == _SUBSCRIPTION_ID:
            number = read_length(body, at, end)
            if number is None:
                raise MalformedPacketError("a property that ends after its packet")
            at = number[1]
        elif name in _PREFIXED or name == _USER_PROPERTY:
            for _ in range(2 if name == _USER_PROPERTY else 1):
                length = int.from_bytes(body[at : at + 2], "big")
                if binaries is not None and name != _USER_PROPERTY:
                    binaries[name] = bytes(body[at + 2 : at + 2 + length])
                at += 2 + length
        else:
            raise MalformedPacketError(f"property 0x{name:02x} is unknown")
    if at != end:
        raise MalformedPacketError("a property that ends after its packet")
    return end
