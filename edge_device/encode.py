"""A capture becomes the JPEG or PNG that travels, and the pixels that the gate looks at; it judges no picture.

Files that already are JPEG or PNG keep their pixels bit for bit and lose their metadata, segment by
segment; one that lies on its side by EXIF is turned and encoded again. Everything else is decoded
and encoded. Over a limit or undecodable is a refusal in words, never an exception to the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_device import image_header, jpeg_segments, png_chunks
from edge_device.jpeg_segments import MalformedImageError
from edge_device.outbox.rows import Refusal
from service_runtime.settings import Settings
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import MAX_IMAGE_BYTES, MAX_PIXELS, MAX_SIDE_PX, ContentType

Pixels = npt.NDArray[np.uint8]
_TURNS: dict[int, Callable[[Pixels], Any]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


class EncodeSettings(Settings):
    """How camera pixels are encoded, and what is too large to take."""

    format: Literal["jpeg", "png"] = "jpeg"
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    max_bytes: int = Field(default=MAX_IMAGE_BYTES, ge=1, le=MAX_IMAGE_BYTES)
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)


Treatment = Literal["encoded", "stripped", "turned_and_encoded", "converted"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A capture's pixels (BGR, 8 bit) for the gate, and its file without metadata where that travels."""

    pixels: Pixels
    treatment: Treatment
    stripped: bytes = b""
    content_type: ContentType | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """What travels; `treatment` says what was done."""

    data: bytes
    content_type: ContentType
    width_px: int
    height_px: int
    treatment: Treatment


def open_pixels(rgb: Pixels) -> Opened:
    """A camera's array (H, W, 3), 8-bit RGB."""
    return Opened(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8), "encoded")


def open_file(data: bytes, settings: EncodeSettings) -> Opened | Refusal:
    """A file's bytes, whatever they are."""
    if len(data) > settings.max_bytes:
        return too_large(f"{len(data)} bytes", f"{settings.max_bytes} bytes")
    if not data:
        return _undecodable("the file is empty")
    try:
        if data.startswith(jpeg_segments.SOI):
            return _open_whole(jpeg_segments.read_jpeg(data), ContentType.JPEG, settings)
        if data.startswith(png_chunks.SIGNATURE):
            return _open_whole(png_chunks.read_png(data), ContentType.PNG, settings)
    except MalformedImageError as error:
        return _undecodable(str(error))
    size = image_header.read_size(data)
    if size is None:
        return _undecodable("it is not a JPEG, PNG, BMP, TIFF or WebP image")
    refusal = _over_limit(*size, settings)
    if refusal is not None:
        return refusal
    pixels = _decode(data)
    return _undecodable("its pixels are damaged") if pixels is None else Opened(pixels, "converted")


def encode(opened: Opened, settings: EncodeSettings) -> Encoded | Refusal:
    """The bytes that travel: the stripped file, or the pixels encoded as the settings say."""
    height, width = opened.pixels.shape[:2]
    if opened.content_type is not None:
        return Encoded(opened.stripped, opened.content_type, width, height, opened.treatment)
    refusal = _over_limit(width, height, settings)
    if refusal is not None:
        return refusal
    if settings.format == "png":
        kind, suffix, options = ContentType.PNG, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
        kind, suffix = ContentType.JPEG, ".jpg"
    done, data = cv2.imencode(suffix, opened.pixels, options)
    if not done:
        return _undecodable("its pixels cannot be encoded")
    if data.size > settings.max_bytes:
        return too_large(f"{data.size} bytes", f"{settings.max_bytes} bytes")
    return Encoded(data.tobytes(), kind, width, height, opened.treatment)


def too_large(size: str, limit: str) -> Refusal:
    """The refusal of a capture that is over a limit."""
    return Refusal(
        Reason.TOO_LARGE,
        f"Too large: {size}, at most {limit} taken. Lower the camera's resolution and take again.",
    )


def _open_whole(
    facts: jpeg_segments.JpegFacts | png_chunks.PngFacts,
    content_type: ContentType,
    settings: EncodeSettings,
) -> Opened | Refusal:
    refusal = _over_limit(facts.width_px, facts.height_px, settings)
    if refusal is not None:
        return refusal
    pixels = _decode(facts.stripped)
    if pixels is None:
        return _undecodable("its pixels are damaged")
    if facts.orientation != 1:
        turned = np.ascontiguousarray(_TURNS[facts.orientation](pixels), np.uint8)
        return Opened(turned, "turned_and_encoded")
    return Opened(pixels, "stripped", facts.stripped, content_type)


def _decode(data: bytes) -> Pixels | None:
    """8-bit BGR as stored, whatever EXIF says of its orientation; None where it cannot be decoded."""
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _over_limit(width: int, height: int, settings: EncodeSettings) -> Refusal | None:
    if max(width, height) > MAX_SIDE_PX:
        return too_large(f"{width} x {height} pixels", f"{MAX_SIDE_PX} a side")
    if width * height > settings.max_pixels:
        return too_large(f"{width} x {height} pixels", f"{settings.max_pixels} pixels")
    return None


def _undecodable(why: str) -> Refusal:
    return Refusal(Reason.DECODE, f"Cannot be read as an image: {why}. Take again.")
