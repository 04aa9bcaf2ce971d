"""A JPEG, PNG or WebP file without its metadata, from bytes alone: what pixels depend on stays as it is.

Kept of a JPEG are tables, frames, scans, JFIF without its thumbnail, and Adobe's APP14 (it says
which colour transform was used); of a PNG the critical chunks and tRNS; of a WebP the picture and
its alpha. EXIF, XMP, IPTC, comments, text, times, thumbnails, further pictures behind the end and
colour profiles go: nothing else is left to unpack, and nothing that names a person, a place or a
camera. Refuses (HeaderError) what is not whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wire_protocol.image_header import Encoding
from wire_protocol.image_parts import (
    APP0,
    APP14,
    APP15,
    COMMENT,
    JPEG_START,
    PNG_SIGNATURE,
    Bytes,
    HeaderError,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_WEBP_KEPT: Final = frozenset({b"VP8X", b"ALPH", b"VP8 ", b"VP8L"})
_ALPHA: Final = 0x10


def bare_image(data: Bytes, encoding: Encoding) -> bytes:
    """The same pixels in the same encoding, and nothing else."""
    return _BARE[encoding](data)


def bare_jpeg(data: Bytes) -> bytes:
    """Also refuses bytes between the segments: nobody knows whose they are."""
    kept = bytearray(JPEG_START)
    for segment in jpeg_segments(data):
        if segment.after_junk:
            raise HeaderError("the JPEG is damaged: bytes between its parts belong to none")
        marker, body = segment.marker, bytes(data[segment.start : segment.end])
        if marker == APP0:
            kept += _jfif_without_thumbnail(body)
        elif marker == APP14 and body.startswith(b"Adobe"):
            kept += _segment(marker, body)
        elif not APP0 <= marker <= APP15 and marker != COMMENT:
            kept += _segment(marker, body) + data[segment.end : segment.after]
    return bytes(kept) + b"\xff\xd9"


def bare_png(data: Bytes) -> bytes:
    """Without text, colour profiles, EXIF or animation."""
    kept = bytearray(PNG_SIGNATURE)
    for chunk in png_chunks(data):
        if chunk.name in _PNG_KEPT:
            kept += data[chunk.start - 8 : chunk.end + 4]
    return bytes(kept)


def bare_webp(data: Bytes) -> bytes:
    """In the simple file format, but where alpha stands in a chunk of its own."""
    found = {
        chunk.name: bytes(data[chunk.start : chunk.end])
        for chunk in webp_chunks(data)
        if chunk.name in _WEBP_KEPT
    }
    if b"ALPH" in found and b"VP8X" in found and b"VP8 " in found:
        found[b"VP8X"] = bytes((_ALPHA, 0, 0, 0)) + found[b"VP8X"][4:10]
        names = [b"VP8X", b"ALPH", b"VP8 "]
    else:
        names = [b"VP8L"] if b"VP8L" in found else [b"VP8 "]
    chunks = b"".join(_riff(name, found[name]) for name in names if name in found)
    return _riff(b"RIFF", b"WEBP" + chunks)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _jfif_without_thumbnail(body: bytes) -> bytes:
    """JFIF's own header with an empty thumbnail; its extension (JFXX) is a thumbnail and goes."""
    if not body.startswith(b"JFIF\0") or len(body) < 14:
        return b""
    return _segment(APP0, body[:12] + b"\0\0")


def _riff(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) & 1)


_BARE: Final[dict[Encoding, Callable[[Bytes], bytes]]] = {
    Encoding.JPEG: bare_jpeg,
    Encoding.PNG: bare_png,
    Encoding.WEBP: bare_webp,
}
