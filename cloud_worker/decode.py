"""Image bytes to RGB pixels, with limits that are checked before a pixel is decoded.

Reads JPEG, PNG and still WebP. Grey becomes RGB, 16 bits become 8, transparency is laid over white (the bright
field), each said in `converted`. EXIF orientation is ignored: pixels stay as the sensor gave them.
Refuses, with a sentence for a person, everything else: other formats, files cut short or damaged,
CMYK, animations, and pictures over the limits (a decompression bomb is found by its header). What it cannot see
is a JPEG whose middle was lost while its end is whole, or a damaged WebP (it has no checksums): the
sha256 of the transfer guards that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.refusal import Refusal
from wire_protocol.bare_image import bare_png, bare_webp
from wire_protocol.image_header import Encoding, Header, read_header
from wire_protocol.image_parts import HeaderError
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import MAX_IMAGE_BYTES, MAX_PIXELS


class DecodeRefused(ValueError):  # noqa: N818  # a refusal is an outcome, not a fault
    """This image is not decoded; `refusal` says why in words."""

    def __init__(
        self,
        problem: str,
        next_step: str = "Take the image again.",
        *,
        reason: Reason = Reason.DECODE,
    ) -> None:
        self.refusal = Refusal(reason, f"{problem}. {next_step}")
        super().__init__(self.refusal.text)


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is decoded at most, and at least."""

    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = MAX_PIXELS
    min_side_px: int = 16


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of one image."""

    rgb: NDArray[np.uint8]
    """H,W,3."""
    encoding: Encoding
    converted: str = ""
    """How the file's pixels became RGB bytes, such as "grey to RGB"; empty where they were."""


def decode(
    data: bytes | bytearray, limits: DecodeLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8] | Refusal:
    """H,W,3 RGB pixels, or why there are none, as a value."""
    try:
        return decode_image(data, limits).rgb
    except DecodeRefused as refused:
        return refused.refusal


def decode_image(data: bytes | bytearray, limits: DecodeLimits = DEFAULT_LIMITS) -> Decoded:
    """RGB uint8 pixels, or DecodeRefused."""
    if len(data) > limits.max_bytes:
        raise DecodeRefused(
            f"{len(data)} bytes, at most {limits.max_bytes} allowed",
            "Send a smaller image.",
            reason=Reason.TOO_LARGE,
        )
    try:
        header = read_header(data)
    except HeaderError as problem:
        raise DecodeRefused(str(problem)) from problem
    _check_size(header, limits)
    if header.encoding is Encoding.JPEG:
        return _jpeg(data, header)
    bare = bare_png(data) if header.encoding is Encoding.PNG else bare_webp(data)
    return _samples(bare, header)


def _check_size(header: Header, limits: DecodeLimits) -> None:
    width, height = header.width_px, header.height_px
    if width * height > limits.max_pixels:
        raise DecodeRefused(
            f"{width} x {height} pixels, at most {limits.max_pixels} pixels allowed",
            "Send a smaller image.",
            reason=Reason.TOO_LARGE,
        )
    if min(width, height) < limits.min_side_px:
        raise DecodeRefused(
            f"{width} x {height} pixels, at least {limits.min_side_px} needed on each side"
        )


def _jpeg(data: bytes | bytearray, header: Header) -> Decoded:
    bgr = _pixels(data, header, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return Decoded(rgb, Encoding.JPEG, "grey to RGB" if header.channels == 1 else "")


def _samples(bare: bytes, header: Header) -> Decoded:
    """Of a PNG or WebP, with whatever channels and depth it has."""
    pixels = _pixels(bare, header, cv2.IMREAD_UNCHANGED)
    converted: list[str] = []
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
        converted.append("16 bits to 8")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        converted.append("grey to RGB")
    elif header.channels <= 2:
        converted.append("grey to RGB")
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.uint16)
        over_white = pixels[:, :, :3] * alpha + 255 * (255 - alpha)
        pixels = ((over_white + 127) // 255).astype(np.uint8)
        converted.append("transparency over white")
    rgb = np.ascontiguousarray(pixels[:, :, 2::-1], np.uint8)
    return Decoded(rgb, header.encoding, ", ".join(converted))


def _pixels(data: bytes | bytearray, header: Header, how: int) -> NDArray[Any]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as problem:
        raise DecodeRefused(f"the {header.encoding} cannot be decoded") from problem
    if pixels is None:
        raise DecodeRefused(f"the {header.encoding} cannot be decoded")
    if pixels.shape[:2] != (header.height_px, header.width_px):
        raise DecodeRefused(f"the {header.encoding} has another size than its header says")
    return np.asarray(pixels)
