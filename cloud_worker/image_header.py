"""Reads what a JPEG or PNG file says of itself, and whether it is whole, without decoding a pixel.

Refuses (HeaderError, in words) everything else: other formats, files cut short, broken checksums,
JPEG variants that are not plain 8-bit Huffman-coded pictures.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type -> channels after a palette is expanded."""
MOST_SCANS = 100
"""A progressive JPEG of thousands of scans costs seconds a megapixel; real ones have about ten."""
OTHER_FORMATS = (
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"%PDF", "PDF"),
)


class HeaderError(ValueError):
    """The file is not a whole image of a kind that is read here; the message is for a person."""


class Encoding(StrEnum):
    """The encodings that are read."""

    JPEG = "JPEG"
    PNG = "PNG"


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says; `channels` are 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha (PNG)."""

    encoding: Encoding
    width_px: int
    height_px: int
    channels: int
    bits: int
    palette: bool = False
    transparent: bool = False
    """A PNG whose palette or key colour holds transparency (tRNS)."""


def read_header(data: bytes | bytearray) -> Header:
    """The header of a whole JPEG or PNG file, or HeaderError."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if not data:
        raise HeaderError("the file is empty")
    for magic, name in OTHER_FORMATS:
        if data.startswith(magic):
            raise HeaderError(f"{name} is not read, JPEG or PNG needed")
    raise HeaderError("the bytes are no image, JPEG or PNG needed")


def _jpeg(data: bytes | bytearray) -> Header:
    """Walk the segments to the end-of-image marker; thumbnails inside EXIF are skipped with it."""
    header: Header | None = None
    scans, at = 0, 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise HeaderError("the JPEG is cut short")
        marker = data[at + 1]
        at += 1 if marker == 0xFF else 2
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            continue
        if marker == 0xD9:
            break
        if at + 2 > len(data):
            raise HeaderError("the JPEG is cut short")
        (length,) = struct.unpack_from(">H", data, at)
        if length < 2 or at + length > len(data):
            raise HeaderError("the JPEG is cut short")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            header = _jpeg_frame(marker, data[at + 2 : at + length])
        scans += marker == 0xDA
        if scans > MOST_SCANS:
            raise HeaderError(f"the JPEG has over {MOST_SCANS} scans")
        at += length
    if header is None or scans == 0:
        raise HeaderError("the JPEG holds no picture")
    return header


def _jpeg_frame(marker: int, frame: bytes | bytearray) -> Header:
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


def _png(data: bytes | bytearray) -> Header:
    header: Header | None = None
    transparent, pixels = False, False
    for name, body in png_chunks(data):
        if header is None and name != b"IHDR":
            raise HeaderError("the PNG does not begin with its header")
        if name == b"IHDR":
            width, height, bits, colour, *_ = struct.unpack(">IIBBBBB", body)
            if colour not in PNG_CHANNELS:
                raise HeaderError(f"PNG colour type {colour} is unknown")
            header = Header(
                Encoding.PNG, width, height, PNG_CHANNELS[colour], bits, palette=colour == 3
            )
        transparent |= name == b"tRNS"
        pixels |= name == b"IDAT"
    if header is None or not pixels:
        raise HeaderError("the PNG holds no picture")
    return Header(
        header.encoding,
        header.width_px,
        header.height_px,
        header.channels,
        header.bits,
        header.palette,
        transparent,
    )


def png_chunks(data: bytes | bytearray) -> list[tuple[bytes, bytes | bytearray]]:
    """(name, body) of each chunk up to IEND; HeaderError where one is cut short or damaged."""
    chunks: list[tuple[bytes, bytes | bytearray]] = []
    at = len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise HeaderError("the PNG is cut short")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise HeaderError("the PNG is cut short")
        body = data[at + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end - 4 : end], "big"):
            raise HeaderError("the PNG is damaged: a checksum does not match")
        if name == b"IHDR" and length != 13:
            raise HeaderError("the PNG's header has a wrong length")
        chunks.append((name, body))
        if name == b"IEND":
            return chunks
        at = end


def bare_png(data: bytes | bytearray) -> bytes:
    """The same picture without text, colour profiles, EXIF or animation: nothing else to unpack."""
    parts = [PNG_SIGNATURE]
    for name, body in png_chunks(data):
        if name in PNG_KEPT:
            crc = zlib.crc32(body, zlib.crc32(name))
            parts.append(struct.pack(">I4s", len(body), name) + body + struct.pack(">I", crc))
    return b"".join(parts)
