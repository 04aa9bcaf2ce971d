"""Width and height of the other formats that cameras write (BMP, TIFF), read before anything is decoded.

A format whose size cannot be read first is refused: a decompression bomb must not be decoded to
find out.
"""

from __future__ import annotations

import struct

_STARTS = (b"BM", b"II*\0", b"MM\0*")


def is_other_format(data: bytes) -> bool:
    """Whether it begins as one of these."""
    return data.startswith(_STARTS)


def read_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels, or None where its header has none."""
    try:
        if data[:2] == b"BM":
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
    except (struct.error, IndexError):
        return None
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    sizes: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (0x100, 0x101):
            code = "H" if kind == 3 else "I"
            (sizes[tag],) = struct.unpack_from(order + code, data, entry + 8)
    return (sizes[0x100], sizes[0x101]) if len(sizes) == 2 else None
