"""Headers of files: what they say is right, what is hostile is refused in words and in time."""

from __future__ import annotations

import io
import random
import struct
import time
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from wire_protocol.bare_image import bare_image
from wire_protocol.image_header import Encoding, read_header
from wire_protocol.image_parts import HeaderError

RGB = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)
RGBA = np.dstack([RGB, np.arange(37 * 53, dtype=np.uint8).reshape(37, 53)])


def saved(kind: str, pixels: np.ndarray = RGB, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


FILES = {
    "jpeg": saved("JPEG", exif=b"Exif\0\0" + bytes(20), comment="hello"),
    "progressive jpeg": saved("JPEG", progressive=True),
    "grey jpeg": saved("JPEG", RGB[:, :, 0]),
    "png": saved("PNG"),
    "png with alpha": saved("PNG", RGBA),
    "lossless webp": saved("WEBP", lossless=True, exif=b"Exif\0\0" + bytes(20), xmp=b"<x/>"),
    "lossy webp": saved("WEBP", quality=70),
    "lossless webp with alpha": saved("WEBP", RGBA, lossless=True, exact=True),
    "lossy webp with alpha": saved("WEBP", RGBA, quality=70, exif=b"Exif\0\0" + bytes(20)),
}


def unpacked(data: bytes) -> np.ndarray:
    """Decoded by Pillow, a decoder that no program here uses."""
    return np.asarray(Image.open(io.BytesIO(data)))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def lossless(width: int, height: int) -> bytes:
    return b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little")


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    return bytes((flags, 0, 0, 0)) + b"".join(
        (side - 1).to_bytes(3, "little") for side in (width, height)
    )


@pytest.mark.parametrize("name", list(FILES))
def test_a_header_says_size_and_channels(name: str) -> None:
    header = read_header(FILES[name])
    assert (header.width_px, header.height_px, header.bits) == (53, 37, 8)
    assert header.channels == (1 if "grey" in name else 4 if "alpha" in name else 3)
    assert header.encoding.lower() in name


@pytest.mark.parametrize("name", list(FILES))
def test_a_bare_file_has_the_same_pixels_and_nothing_to_lose(name: str) -> None:
    data, encoding = FILES[name], read_header(FILES[name]).encoding
    bare = bare_image(data + b"trailing", encoding)
    assert np.array_equal(unpacked(bare), unpacked(data))
    assert read_header(bare) == read_header(data)
    assert bare_image(bare, encoding) == bare and len(bare) <= len(data)
    for forbidden in (b"Exif", b"EXIF", b"XMP", b"hello", b"trailing"):
        assert forbidden not in bare


def test_a_bare_webp_promises_no_metadata() -> None:
    bare = bare_image(FILES["lossy webp with alpha"], Encoding.WEBP)
    assert bare[12:16] == b"VP8X" and bare[20] == 0x10  # alpha, and nothing else


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (riff((b"VP8X", canvas(50, 40, 0x02)), (b"VP8L", lossless(50, 40))), "animated"),
        (riff((b"ANMF", bytes(30))), "animated"),
        (riff((b"VP8X", canvas(50, 41)), (b"VP8L", lossless(50, 40))), "disagree"),
        (riff((b"VP8L", lossless(50, 40)), (b"VP8L", lossless(50, 40))), "disagree"),
        (riff((b"VP8X", canvas(50, 40))), "no picture"),
        (riff((b"VP8X", b"short")), "cut short"),
        (riff((b"VP8L", b"\x2e" + bytes(9))), "no header"),
        (riff((b"VP8 ", bytes(10))), "no header"),
        (riff((b"VP8L", lossless(50, 40)))[:-1], "cut short"),
        (b"RIFF\x16\0\0\0WEBPVP8L\xff\xff\0\0" + lossless(50, 40) + bytes(5), "cut short"),
        (riff(*[(b"XXXX", b"")] * 70_000), "over 65536 parts"),
        (b"RIFF\x04\0\0\0WAVE", "no image"),
    ],
)
def test_a_strange_webp_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(HeaderError, match=words):
        read_header(data)


def test_a_jpeg_with_bytes_between_its_parts_is_read_but_not_made_bare() -> None:
    data = FILES["jpeg"]
    junk = data[:2] + b"Jane Doe" + data[2:]
    assert read_header(junk) == read_header(data)
    with pytest.raises(HeaderError, match="belong to none"):
        bare_image(junk, Encoding.JPEG)


@pytest.mark.parametrize(
    "filling",
    [b"\xff" * 30_000_000, b"\xff\0" * 15_000_000, b"\xff\xd0" * 15_000_000, bytes(30_000_000)],
)
def test_a_hostile_jpeg_costs_no_time(filling: bytes) -> None:
    started = time.thread_time()
    for data in (b"\xff\xd8" + filling, b"\xff\xd8" + filling + FILES["jpeg"][2:]):
        with suppress(HeaderError):
            read_header(data)
    assert time.thread_time() - started < 3  # byte by byte in Python it takes ten


def test_fill_bytes_between_parts_are_no_junk() -> None:
    data = FILES["jpeg"]
    filled = data[:2] + b"\xff" * 7 + data[2:]
    assert bare_image(filled, Encoding.JPEG) == bare_image(data, Encoding.JPEG)


@pytest.mark.parametrize("seed", range(150))
def test_damage_raises_nothing_but_a_header_error(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(rng.choice(list(FILES.values())))
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(min(len(data), rng.choice([60, len(data)])))] = rng.randrange(256)
    damaged = bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    try:
        header = read_header(damaged)
        bare = bare_image(damaged, header.encoding)
    except HeaderError:
        return
    assert read_header(bare).encoding is header.encoding
