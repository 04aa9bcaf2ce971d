"""Files that a worker must survive: each is decoded, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.cloud_worker.images import a_field, jpeg, png


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def bomb() -> bytes:
    """A PNG of 4 KB whose header announces 3.6 thousand million pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 4_000_000)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    )


def cmyk() -> bytes:
    out = io.BytesIO()
    Image.fromarray(a_field(5)).convert("CMYK").save(out, "JPEG")
    return out.getvalue()


def deep() -> bytes:
    """16 bits per channel."""
    return png(a_field(6).astype(np.uint16) * 257)


def with_alpha() -> bytes:
    field = a_field(7)
    return png(np.dstack([field, np.full(field.shape[:2], 200, np.uint8)]))


def cut_short() -> bytes:
    whole = jpeg(a_field(8))
    return whole[: len(whole) // 2]


#: Name -> (bytes, whether the image can be decoded).
BAD_IMAGES: dict[str, tuple[bytes, bool]] = {
    "bomb": (bomb(), False),
    "cut_short": (cut_short(), False),
    "text": (b"this is a letter, not an image\n" * 40, False),
    "cmyk": (cmyk(), False),
    "deep": (deep(), True),
    "grey": (jpeg(a_field(9)[:, :, 0]), True),
    "alpha": (with_alpha(), True),
}
