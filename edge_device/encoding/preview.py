"""A small JPEG of a whole field, to be looked at while the image itself travels; it is stored nowhere.

It is made of the file that travels, so it shows what will arrive. More pixels, coarsely encoded, say
more than fewer pixels, finely encoded: of the qualities tried, `JPEG_QUALITY` is where the draft
agrees most often with the final result (`python -m benchmarks.preview`).
"""

from __future__ import annotations

import hashlib
from typing import Final

import cv2
import numpy as np

from edge_device.encoding.encode import Pixels
from wire_protocol.image_header import Header, read_header
from wire_protocol.image_parts import HeaderError
from wire_protocol.messages import Preview

JPEG_QUALITY: Final = 30
#: Bits of JPEG for each pixel of a smear at that quality, about: where the search begins.
_BITS_PER_PX: Final = 0.55
#: A preview that fills this part of its bytes is good enough.
_FULL: Final = 0.9
_MOST_TRIES: Final = 6
#: OpenCV decodes JPEG straight to a half, a quarter and an eighth, in much less time and memory.
_REDUCED: Final = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)


def make_preview(
    data: bytes, um_per_px: float, most_bytes: int, *, quality: int = JPEG_QUALITY
) -> Preview | None:
    """The largest picture of the field within `most_bytes`; None where these bytes are no picture."""
    try:
        header = read_header(data)
    except HeaderError:
        return None
    factor = min(1.0, (most_bytes * 8 / _BITS_PER_PX / (header.width_px * header.height_px)) ** 0.5)
    # Twice the pixels are enough to shrink well from, also where the guess was too small.
    pixels = _decode(data, header, factor * 2**0.5)
    if pixels is None:
        return None
    found: tuple[bytes, int, int] | None = None
    least_too_large = float("inf")
    for _ in range(_MOST_TRIES):
        width = max(1, round(header.width_px * factor))
        height = max(1, round(header.height_px * factor))
        jpeg = _encode(pixels, width, height, quality)
        share = len(jpeg) / most_bytes
        if share > 1:
            least_too_large = min(least_too_large, factor)
        elif found is None or len(jpeg) > len(found[0]):
            found = (jpeg, width, height)
        if _FULL <= share <= 1 or (share <= 1 and factor == 1.0):
            break
        factor = min(1.0, factor * (0.96 / share) ** 0.5)
        if factor >= least_too_large:
            factor = least_too_large * 0.97
    if found is None:
        return None
    jpeg, width, height = found
    return Preview(
        sha256=hashlib.sha256(jpeg).hexdigest(),
        width_px=width,
        height_px=height,
        um_per_px=um_per_px * header.width_px / width,
        data=jpeg,
    )


def _decode(data: bytes, header: Header, least: float) -> Pixels | None:
    """BGR, at least `least` of the image's sides, or the whole where that is smaller."""
    how = next((flag for part, flag in _REDUCED if 1 / part >= least), cv2.IMREAD_COLOR)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _encode(pixels: Pixels, width: int, height: int, quality: int) -> bytes:
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done, jpeg = cv2.imencode(".jpg", small, how)
    if not done:
        raise RuntimeError(f"a preview of {width} x {height} pixels cannot be encoded")
    return bytes(jpeg)
