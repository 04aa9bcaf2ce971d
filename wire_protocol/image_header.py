"""What a JPEG, PNG or WebP file says of itself, and whether it is whole, from bytes alone; it decodes no pixel.

Refuses (HeaderError, in words) everything else: other formats, files cut short, broken checksums,
JPEG variants that are not plain 8-bit Huffman-coded pictures, animations. Pure: a device refuses
at once what every worker would refuse after the upload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire_protocol.image_parts import (
    JPEG_START,
    PNG_SIGNATURE,
    SOS,
    Bytes,
    Chunk,
    HeaderError,
    is_webp,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type -> channels after a palette is expanded."""
MOST_SCANS: Final = 100
"""A progressive JPEG of thousands of scans costs seconds a megapixel; real ones have about ten."""
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_OTHER_FORMATS: Final = (
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
)
_NEEDED: Final = "JPEG, PNG or WebP needed"


class Encoding(StrEnum):
    """The encodings that are read."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says; `channels` are 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha."""

    encoding: Encoding
    width_px: int
    height_px: int
    channels: int
    bits: int
    palette: bool = False
    transparent: bool = False
    """A PNG whose palette or key colour holds transparency (tRNS)."""


def read_header(data: Bytes) -> Header:
    """The header of a whole JPEG, PNG or still WebP file, or HeaderError."""
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if is_webp(data):
        return _webp(data)
    if not data:
        raise HeaderError("the file is empty")
    for magic, name in _OTHER_FORMATS:
        if data.startswith(magic):
            raise HeaderError(f"{name} is not read, {_NEEDED}")
    raise HeaderError(f"the bytes are no image, {_NEEDED}")


def _jpeg(data: Bytes) -> Header:
    header: Header | None = None
    scans = 0
    for segment in jpeg_segments(data):
        if segment.marker in _JPEG_FRAMES:
            header = _jpeg_frame(segment.marker, data[segment.start : segment.end])
        scans += segment.marker == SOS
        if scans > MOST_SCANS:
            raise HeaderError(f"the JPEG has over {MOST_SCANS} scans")
    if header is None or scans == 0 or 0 in (header.width_px, header.height_px):
        raise HeaderError("the JPEG holds no picture")
    return header


def _jpeg_frame(marker: int, frame: Bytes) -> Header:
    if marker > 0xC2:
        raise HeaderError("this JPEG variant is not read (lossless, hierarchical or arithmetic)")
    if len(frame) < 6:
        raise HeaderError("the JPEG's frame header is cut short")
    bits, height, width, components = struct.unpack_from(">BHHB", frame)
    if bits != 8:
        raise HeaderError(f"{bits}-bit JPEG is not read, 8 bits needed")
    if components == 4:
        raise HeaderError("a CMYK JPEG has no certain colours, RGB needed")
    if components not in (1, 3):
        raise HeaderError(f"a JPEG of {components} components is not read, 1 or 3 needed")
    return Header(Encoding.JPEG, width, height, components, bits)


def _png(data: Bytes) -> Header:
    first: tuple[int, int, int, int] | None = None
    transparent, pixels = False, False
    for chunk in png_chunks(data):
        if first is None:
            if chunk.name != b"IHDR":
                raise HeaderError("the PNG does not begin with its header")
            if chunk.end - chunk.start != 13:
                raise HeaderError("the PNG's header has a wrong length")
            first = struct.unpack_from(">IIBB", data, chunk.start)
        transparent |= chunk.name == b"tRNS"
        pixels |= chunk.name == b"IDAT"
    if first is None or not pixels or 0 in first[:2]:
        raise HeaderError("the PNG holds no picture")
    width, height, bits, colour = first
    if colour not in PNG_CHANNELS:
        raise HeaderError(f"PNG colour type {colour} is unknown")
    channels = PNG_CHANNELS[colour]
    return Header(Encoding.PNG, width, height, channels, bits, colour == 3, transparent)


def _webp(data: Bytes) -> Header:
    """A canvas (VP8X) may hold one picture only, of its own size: decoders trust one or the other."""
    canvas: tuple[int, int] | None = None
    pictures: list[tuple[int, int, bool]] = []
    alpha_apart = False
    for chunk in webp_chunks(data):
        body = bytes(data[chunk.start : min(chunk.end, chunk.start + 10)])
        if chunk.name == b"VP8X":
            canvas = _webp_canvas(body)
        elif chunk.name in (b"ANIM", b"ANMF"):
            raise HeaderError("an animated WebP holds no one picture, a still one needed")
        elif chunk.name in (b"VP8 ", b"VP8L"):
            pictures.append(_webp_picture(chunk, body))
        alpha_apart |= chunk.name == b"ALPH"
    if not pictures or 0 in pictures[0][:2]:
        raise HeaderError("the WebP holds no picture")
    width, height, alpha = pictures[0]
    if len(pictures) > 1 or canvas not in (None, (width, height)):
        raise HeaderError("the WebP's header and its picture disagree")
    return Header(Encoding.WEBP, width, height, 4 if alpha or alpha_apart else 3, 8)


def _webp_canvas(body: bytes) -> tuple[int, int]:
    if len(body) < 10:
        raise HeaderError("the WebP's header is cut short")
    if body[0] & 0x02:
        raise HeaderError("an animated WebP holds no one picture, a still one needed")
    return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")


def _webp_picture(chunk: Chunk, body: bytes) -> tuple[int, int, bool]:
    """(width, height, holds alpha) of the bitstream: VP8L is lossless, VP8 is not."""
    if chunk.name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        if len(body) < 5 or body[0] != 0x2F or bits >> 29:
            raise HeaderError("the WebP is damaged: its picture has no header")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    if len(body) < 10 or body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
        raise HeaderError("the WebP is damaged: its picture has no header")
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF, False
