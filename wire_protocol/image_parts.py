"""JPEG, PNG and WebP files cut into their parts, from bytes alone; it decodes no pixel.

Refuses (HeaderError, in words) files that are cut short or damaged as far as their format tells.
Pure, so that a device and a worker cut alike.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

JPEG_START: Final = b"\xff\xd8"
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: Markers that tests and other modules name.
SOS, APP0, APP1, APP2, APP14, APP15, COMMENT = 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
#: Real files have tens of parts, long PNGs thousands; millions only cost time.
MOST_PARTS: Final = 65_536
_EOI: Final = 0xD9
#: The next marker in entropy-coded data: not a stuffed zero, a restart or a fill byte.
#: Both begin with a literal, so that the search runs at the speed of memchr.
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
#: The next marker of a segment elsewhere: the ones left out stand alone or mean nothing there.
_NEXT_SEGMENT: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)

Bytes = bytes | bytearray


class HeaderError(ValueError):
    """The file is not a whole image of a kind that is read here; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A JPEG segment: its body is `data[start:end]`, entropy-coded data follow up to `after`."""

    marker: int
    start: int
    end: int
    after: int
    #: Bytes that belong to no segment stand before it; decoders skip them.
    after_junk: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """A PNG or WebP chunk: its body is `data[start:end]`."""

    name: bytes
    start: int
    end: int


def is_webp(data: Bytes) -> bool:
    """Whether it begins as one."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def jpeg_segments(data: Bytes) -> Iterator[Segment]:
    """Each segment up to the end mark; a picture behind that one is none of this file's."""
    at = len(JPEG_START)
    for _ in range(MOST_PARTS):
        found = _NEXT_SEGMENT.search(data, at)
        if found is None:
            raise HeaderError("the JPEG is cut short")
        skipped, begin = found.start() - at, found.start()
        junk = skipped > 0 and data.count(b"\xff", at, begin) < skipped  # fill bytes are none
        marker = data[begin + 1]
        if marker == _EOI:
            return
        length = int.from_bytes(data[begin + 2 : begin + 4], "big")
        start, end = begin + 4, begin + 2 + length
        if length < 2 or end > len(data):
            raise HeaderError("the JPEG is cut short")
        at = end
        if marker == SOS:
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                raise HeaderError("the JPEG is cut short")
            at = following.start()
        yield Segment(marker, start, end, at, junk)
    raise HeaderError(f"the JPEG has over {MOST_PARTS} parts")


def png_chunks(data: Bytes) -> Iterator[Chunk]:
    """Each chunk up to IEND, whose checksum is right."""
    at = len(PNG_SIGNATURE)
    view = memoryview(data)
    for _ in range(MOST_PARTS):
        if at + 12 > len(data):
            raise HeaderError("the PNG is cut short")
        length, name = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + length
        if end + 4 > len(data):
            raise HeaderError("the PNG is cut short")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise HeaderError("the PNG is damaged: a checksum does not match")
        yield Chunk(name, start, end)
        if name == b"IEND":
            return
        at = end + 4
    raise HeaderError(f"the PNG has over {MOST_PARTS} parts")


def webp_chunks(data: Bytes) -> Iterator[Chunk]:
    """Each chunk up to the end that the file's own header gives."""
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data) or stop < 12:
        raise HeaderError("the WebP is cut short")
    at = 12
    for _ in range(MOST_PARTS):
        if at == stop:
            return
        start = at + 8
        end = start + int.from_bytes(data[at + 4 : start], "little")
        if end > stop:
            raise HeaderError("the WebP is cut short")
        yield Chunk(bytes(data[at : at + 4]), start, end)
        at = min(end + (end & 1), stop)  # chunks are padded to even lengths
    raise HeaderError(f"the WebP has over {MOST_PARTS} parts")
