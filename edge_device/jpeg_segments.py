"""JPEG files cut into their segments: size, orientation and a copy without metadata; it decodes no pixel.

Kept are the segments that pixels depend on: tables, frames, scans, JFIF without its thumbnail, and
Adobe's APP14 (it says which colour transform was used). EXIF, XMP, IPTC, comments, thumbnails,
further pictures behind the end and, knowingly, the ICC profile go: the classifier's preprocessing
ignores profiles, and their texts name cameras and people.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_device.exif import read_orientation

SOI = b"\xff\xd8"
_EOI, _SOS, _APP0, _APP1, _APP14, _APP15, _COM = 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: The next marker in entropy-coded data: not a stuffed zero, a restart or a fill byte.
#: It begins with a literal, so that the search runs at the speed of memchr.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


class MalformedImageError(ValueError):
    """The file is not a whole image of its format; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """What the segments tell."""

    width_px: int
    height_px: int
    orientation: int
    stripped: bytes


def read_jpeg(data: bytes) -> JpegFacts:
    """Size, EXIF orientation and the copy without metadata; raises MalformedImageError."""
    kept = bytearray(SOI)
    width = height = 0
    orientation = 1
    scans = 0
    for marker, start, end, after in _segments(data):
        body = data[start:end]
        if marker in _FRAMES:
            if len(body) < 6:
                raise MalformedImageError("its frame header is cut off")
            height, width = struct.unpack(">HH", body[1:5])
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = read_orientation(body[6:]) if orientation == 1 else orientation
        if marker == _APP0:
            kept += _jfif_without_thumbnail(body)
        elif marker == _APP14 and body.startswith(b"Adobe"):
            kept += _segment(marker, body)
        elif not _APP0 <= marker <= _APP15 and marker != _COM:
            kept += _segment(marker, body) + data[end:after]
        scans += marker == _SOS
    if not scans or width == 0 or height == 0:
        raise MalformedImageError("it has no picture in it")
    return JpegFacts(width, height, orientation, bytes(kept) + b"\xff\xd9")


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(marker, body start, body end, end of the entropy-coded data behind it) up to the end mark."""
    if not data.startswith(SOI):
        raise MalformedImageError("it does not begin as a JPEG")
    at = 2
    while True:
        if at + 2 > len(data):
            raise MalformedImageError("it ends before its end mark (cut off)")
        if data[at] != 0xFF:
            raise MalformedImageError(f"byte {at} should begin a segment")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == _EOI:
            return
        if at + 4 > len(data):
            raise MalformedImageError("it ends before its end mark (cut off)")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        start, end = at + 4, at + 2 + length
        if length < 2 or end > len(data):
            raise MalformedImageError("it ends before its end mark (cut off)")
        after = end
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise MalformedImageError("it ends before its end mark (cut off)")
            after = found.start()
        yield marker, start, end, after
        at = after


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _jfif_without_thumbnail(body: bytes) -> bytes:
    """JFIF's own header with an empty thumbnail; its extension (JFXX) is a thumbnail and goes."""
    if not body.startswith(b"JFIF\0") or len(body) < 14:
        return b""
    return _segment(_APP0, body[:12] + b"\0\0")
