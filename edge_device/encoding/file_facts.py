"""The two facts that are read out of a file's metadata before it goes: which way is up, and whose colours.

Everything else in there is nobody's business.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_device.encoding.colour_profile import ColourProfile, judge_profile
from edge_device.encoding.exif import read_orientation
from wire_protocol.image_header import Encoding
from wire_protocol.image_parts import APP1, APP2, jpeg_segments, png_chunks, webp_chunks

_EXIF: Final = b"Exif\0\0"
_ICC: Final = b"ICC_PROFILE\0"
#: Camera profiles have some kilobytes, printers' a few megabytes.
_MOST_ICC_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`orientation` is EXIF's, 1 (upright) to 8."""

    orientation: int
    profile: ColourProfile


def read_facts(data: bytes, encoding: Encoding) -> FileFacts:
    """What a whole file of this encoding says; raises HeaderError where it is not whole."""
    tiff, icc = _READ[encoding](data)
    return FileFacts(read_orientation(tiff), judge_profile(icc))


def _of_jpeg(data: bytes) -> tuple[bytes, bytes]:
    tiff = b""
    pieces: dict[int, bytes] = {}
    for segment in jpeg_segments(data):
        body = data[segment.start : segment.end]
        if segment.marker == APP1 and body.startswith(_EXIF):
            tiff = tiff or body[len(_EXIF) :]
        elif segment.marker == APP2 and body.startswith(_ICC) and len(body) > len(_ICC) + 2:
            pieces[body[len(_ICC)]] = body[len(_ICC) + 2 :]  # its number, and how many there are
    return tiff, b"".join(pieces[number] for number in sorted(pieces))


def _of_png(data: bytes) -> tuple[bytes, bytes]:
    tiff = icc = b""
    for chunk in png_chunks(data):
        body = data[chunk.start : chunk.end]
        if chunk.name == b"eXIf":
            tiff = tiff or body
        elif chunk.name == b"iCCP":
            _, _, packed = body.partition(b"\0")
            icc = _unpacked(packed[1:]) or b"?"  # one byte of method; unreadable is no sRGB
    return tiff, icc


def _of_webp(data: bytes) -> tuple[bytes, bytes]:
    found = {chunk.name: chunk for chunk in webp_chunks(data)}
    tiff, icc = (
        data[found[name].start : found[name].end] if name in found else b""
        for name in (b"EXIF", b"ICCP")
    )
    return tiff.removeprefix(_EXIF), icc


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_ICC_BYTES)
    except zlib.error:
        return b""


_READ: Final[dict[Encoding, Callable[[bytes], tuple[bytes, bytes]]]] = {
    Encoding.JPEG: _of_jpeg,
    Encoding.PNG: _of_png,
    Encoding.WEBP: _of_webp,
}
