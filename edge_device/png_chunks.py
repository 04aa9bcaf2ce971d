"""PNG files cut into their chunks: size, orientation and a copy without metadata; it decodes no pixel.

Kept are the critical chunks and tRNS: samples stay as they are. Text, time, EXIF, further frames
and, knowingly, colour profiles and gamma go (see jpeg_segments).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from edge_device.exif import read_orientation
from edge_device.jpeg_segments import MalformedImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")


@dataclass(frozen=True, slots=True)
class PngFacts:
    """What the chunks tell."""

    width_px: int
    height_px: int
    orientation: int
    stripped: bytes


def read_png(data: bytes) -> PngFacts:
    """Size, EXIF orientation and the copy without metadata; raises MalformedImageError."""
    if not data.startswith(SIGNATURE):
        raise MalformedImageError("it does not begin as a PNG")
    kept = bytearray(SIGNATURE)
    width = height = 0
    orientation = 1
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise MalformedImageError("it ends before its end mark (cut off)")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise MalformedImageError("it ends before its end mark (cut off)")
        if kind in _KEPT:
            (crc,) = struct.unpack_from(">I", data, end - 4)
            if crc != zlib.crc32(memoryview(data)[at + 4 : end - 4]):
                raise MalformedImageError(f"its {kind.decode()} part is damaged")
            kept += data[at:end]
        if kind == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", data, at + 8)
        elif kind == b"eXIf":
            orientation = read_orientation(data[at + 8 : end - 4])
        at = end
        if kind == b"IEND":
            break
    if width == 0 or height == 0 or b"IDAT" not in kept:
        raise MalformedImageError("it has no picture in it")
    return PngFacts(width, height, orientation, bytes(kept))
