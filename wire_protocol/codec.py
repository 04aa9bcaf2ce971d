"""Bytes to messages and back, with versions and size limits; it never guesses at a message it does not know.

A packet is one version byte (major version in the high nibble), one kind byte, a msgpack array of
the fields in the order of the type, and, but for a Chunk, the CRC-32 of all of that in four
bytes, most significant first. A Chunk has a CRC-32 of its bytes among its fields, and the digest of
the whole image guards the rest of it. A newer major version is refused by name.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgpack
from pydantic import BaseModel, ValidationError

from wire_protocol import messages as m
from wire_protocol.ids import ATTEMPT_MAX
from wire_protocol.manifest import Manifest

MAJOR: Final = 1
MINOR: Final = 2
VERSION: Final = MAJOR << 4 | MINOR
CRC_BYTES: Final = 4
MAX_PACKET_BYTES: Final = m.MAX_CHUNK_BYTES + 16 * 1024

#: Kind byte of each message; numbers are never reused.
KINDS: Final[dict[int, type[m.Message]]] = {
    0x01: m.Offer,
    0x10: m.Chunk,
    0x11: m.Probe,
    0x12: m.DeviceRelease,
    0x20: m.Claim,
    0x21: m.Busy,
    0x22: m.Unknown,
    0x23: m.WorkerRelease,
    0x24: m.Stored,
    0x25: m.Mismatch,
    0x26: m.Refused,
    0x27: m.Progress,
    0x30: m.Inquiry,
    0x31: m.Recorded,
    0x32: m.InquiryAnswer,
    0x33: m.Refiled,
    0x40: m.ClockRequest,
    0x41: m.ClockReply,
}
#: Fields of version 1.0, for types that later minor versions appended to: a peer of 1.0 sends so
#: many, and the defaults of the others say what was true of it.
_FIRST_FIELDS: Final[dict[type[BaseModel], int]] = {Manifest: 16, m.Offer: 5}
_KIND_OF: Final = {message: kind for kind, message in KINDS.items()}


class PeerError(ValueError):
    """The peer sent what the protocol does not allow: count it, refuse it, go on."""


class UnsupportedVersionError(PeerError):
    """The payload's major version is newer (or older) than the one spoken here."""

    def __init__(self, major: int, supported: int = MAJOR, schema: str = "transfer") -> None:
        super().__init__(
            f"{schema} message has major version {major}; this program speaks {supported}"
        )
        self.major = major
        self.supported = supported


class OversizedError(PeerError):
    """The payload is larger than any message of this protocol may be."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"message of {size_bytes} bytes, limit {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


def encode(message: m.Message) -> bytes:
    """The packet for `message`."""
    head = bytes((VERSION, _KIND_OF[type(message)]))
    if isinstance(message, m.Chunk):
        chunk: bytes = msgpack.packb(
            (message.attempt, message.offset, message.crc32, message.data), use_bin_type=True
        )
        return head + chunk
    if isinstance(message, m.Progress):
        fields: Any = (message.attempt, message.n, message.upto, message.missing, message.limit)
    elif isinstance(message, m.Probe):
        fields = (message.attempt, message.sent_through, message.held)
    else:
        fields = [_pack_value(getattr(message, name)) for name in type(message).model_fields]
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    packet = head + packed
    return packet + zlib.crc32(packet).to_bytes(CRC_BYTES, "big")


def decode(payload: bytes) -> m.Message:
    """The message in `payload`; raises PeerError for anything that is not exactly one message."""
    if len(payload) > MAX_PACKET_BYTES:
        raise OversizedError(len(payload), MAX_PACKET_BYTES)
    if len(payload) < 3:
        raise PeerError(f"message of {len(payload)} bytes, at least 3 needed")
    if payload[0] >> 4 != MAJOR:
        raise UnsupportedVersionError(payload[0] >> 4)
    kind = KINDS.get(payload[1])
    if kind is None:
        raise PeerError(f"unknown message kind 0x{payload[1]:02x}")
    body = memoryview(payload)[2:]
    if kind is not m.Chunk:
        whole, crc = memoryview(payload)[:-CRC_BYTES], payload[-CRC_BYTES:]
        if len(payload) < 3 + CRC_BYTES or zlib.crc32(whole) != int.from_bytes(crc, "big"):
            raise PeerError(f"{kind.__name__}: the CRC-32 at its end does not match")
        body = whole[2:]
    try:
        fields = msgpack.unpackb(body, use_list=False, raw=False)
    except Exception as error:  # msgpack raises several unrelated types for malformed input
        raise PeerError(f"{kind.__name__}: not msgpack ({error})") from error
    if not isinstance(fields, tuple):
        raise PeerError(f"{kind.__name__}: fields must be an array")
    if kind is m.Chunk:
        return _chunk(fields)
    if kind is m.Progress:
        return _progress(fields)
    if kind is m.Probe:
        return _probe(fields)
    assert issubclass(kind, BaseModel)
    return _model(kind, fields)  # type: ignore[return-value]  # KINDS holds only Message types


def _pack_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return [_pack_value(getattr(value, name)) for name in type(value).model_fields]
    if isinstance(value, tuple):
        return [_pack_value(item) for item in value]
    return value


def _model(kind: type[BaseModel], fields: tuple[Any, ...]) -> BaseModel:
    names = list(kind.model_fields)
    needed = _FIRST_FIELDS.get(kind, len(names))
    if len(fields) < needed:
        raise PeerError(f"{kind.__name__}: {len(fields)} fields, {needed} needed")
    values = dict(zip(names, fields, strict=False))  # a newer minor version may append fields
    if kind is m.Offer and isinstance(values["manifest"], tuple):
        values["manifest"] = _model(Manifest, values["manifest"])
    if kind is m.Offer and isinstance(values.get("preview"), tuple):
        values["preview"] = _model(m.Preview, values["preview"])
    if kind is m.InquiryAnswer and isinstance(values["known"], tuple):
        values["known"] = tuple(
            _model(m.Recorded, item) if isinstance(item, tuple) else item
            for item in values["known"]
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise PeerError(f"{kind.__name__}.{where}: {first['msg']}") from error


def _chunk(fields: tuple[Any, ...]) -> m.Chunk:
    if len(fields) < 4:
        raise PeerError("Chunk: 4 fields needed")
    attempt, offset, crc32, data = fields[:4]
    if not (
        _is_int(attempt, 1, ATTEMPT_MAX) and _is_int(offset, 0) and _is_int(crc32, 0, 2**32 - 1)
    ):
        raise PeerError("Chunk: attempt, offset and crc32 must be unsigned integers")
    if not isinstance(data, bytes) or not 0 < len(data) <= m.MAX_CHUNK_BYTES:
        raise PeerError(f"Chunk: data must be 1 to {m.MAX_CHUNK_BYTES} bytes")
    return m.Chunk(attempt, offset, crc32, data)


def _progress(fields: tuple[Any, ...]) -> m.Progress:
    if len(fields) < 5:
        raise PeerError("Progress: 5 fields needed")
    attempt, n, upto, missing, limit = fields[:5]
    numbers = _is_int(attempt, 1, ATTEMPT_MAX) and all(_is_int(v, 0) for v in (n, upto, limit))
    if not numbers or not isinstance(missing, tuple) or len(missing) > m.MAX_MISSING_RANGES:
        raise PeerError("Progress: unsigned integers and at most 64 missing ranges needed")
    end_before = 0
    for item in missing:
        if not (isinstance(item, tuple) and len(item) == 2 and all(_is_int(v, 0) for v in item)):
            raise PeerError("Progress: a missing range is a pair of unsigned integers")
        start, end = item
        if not end_before <= start < end <= upto:
            raise PeerError("Progress: missing ranges must be sorted, disjoint and below upto")
        end_before = end
    return m.Progress(attempt, n, upto, missing, limit)


def _probe(fields: tuple[Any, ...]) -> m.Probe:
    if len(fields) < 3:
        raise PeerError("Probe: 3 fields needed")
    attempt, sent_through, held = fields[:3]
    if not (
        _is_int(attempt, 1, ATTEMPT_MAX) and _is_int(sent_through, 0) and isinstance(held, bool)
    ):
        raise PeerError("Probe: attempt, sent_through and held needed")
    return m.Probe(attempt, sent_through, bool(held))


def _is_int(value: object, low: int, high: int = 2**63 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
