"""A capture becomes the JPEG or PNG that travels, and the pixels that the gate looks at; it judges no picture.

Files that already are JPEG or PNG keep their pixels bit for bit and lose their metadata, segment by
segment; one that lies on its side by EXIF is turned and encoded again. Everything else is decoded
and encoded. Over a limit or undecodable is a refusal in words, never an exception to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_device import image_header, jpeg_segments, png_chunks
from edge_device.jpeg_segments import MalformedImageError
from edge_device.outbox.rows import Refusal
from service_runtime.settings import Settings
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import MAX_IMAGE_BYTES, MAX_SIDE_PX, ContentType

Pixels = npt.NDArray[np.uint8]
_TURNS = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: lambda image: cv2.transpose(image),
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


class EncodeSettings(Settings):
    """How camera pixels are encoded, and what is too large to take."""

    format: Literal["jpeg", "png"] = "jpeg"
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    max_bytes: int = Field(default=MAX_IMAGE_BYTES, ge=1, le=MAX_IMAGE_BYTES)
    max_pixels: int = Field(default=100_000_000, ge=1)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What travels, and its pixels (BGR, 8 bit) for the gate; `treatment` says what was done."""

    data: bytes
    content_type: ContentType
    width_px: int
    height_px: int
    pixels: Pixels
    treatment: Literal["encoded", "stripped", "turned_and_encoded", "converted"]


def encode_pixels(rgb: Pixels, settings: EncodeSettings) -> Encoded | Refusal:
    """A camera's array (H, W, 3), 8-bit RGB."""
    return _encode(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8), settings, "encoded")


def encode_file(data: bytes, settings: EncodeSettings) -> Encoded | Refusal:
    """A file's bytes, whatever they are."""
    if len(data) > settings.max_bytes:
        return too_large(f"{len(data)} bytes", f"{settings.max_bytes} bytes")
    if not data:
        return _undecodable("the file is empty")
    try:
        if data.startswith(jpeg_segments.SOI):
            jpeg = jpeg_segments.read_jpeg(data)
            return _keep(jpeg.stripped, ContentType.JPEG, jpeg, settings)
        if data.startswith(png_chunks.SIGNATURE):
            png = png_chunks.read_png(data)
            return _keep(png.stripped, ContentType.PNG, png, settings)
    except MalformedImageError as error:
        return _undecodable(str(error))
    size = image_header.read_size(data)
    if size is None:
        return _undecodable("it is not a JPEG, PNG, BMP, TIFF or WebP image")
    refusal = _over_limit(*size, settings)
    if refusal is not None:
        return refusal
    pixels = _decode(data)
    return _undecodable("its pixels") if pixels is None else _encode(pixels, settings, "converted")


def too_large(size: str, limit: str) -> Refusal:
    """The refusal of a capture that is over a limit."""
    return Refusal(
        Reason.TOO_LARGE,
        f"Too large: {size}, at most {limit} taken. Lower the camera's resolution and take again.",
    )


def _keep(
    stripped: bytes,
    content_type: ContentType,
    facts: jpeg_segments.JpegFacts | png_chunks.PngFacts,
    settings: EncodeSettings,
) -> Encoded | Refusal:
    refusal = _over_limit(facts.width_px, facts.height_px, settings)
    if refusal is not None:
        return refusal
    pixels = _decode(stripped)
    if pixels is None:
        return _undecodable("its pixels are damaged")
    if facts.orientation != 1:
        turned = np.ascontiguousarray(_TURNS[facts.orientation](pixels), np.uint8)
        return _encode(turned, settings, "turned_and_encoded")
    height, width = pixels.shape[:2]
    return Encoded(stripped, content_type, width, height, pixels, "stripped")


def _encode(
    bgr: Pixels,
    settings: EncodeSettings,
    treatment: Literal["encoded", "turned_and_encoded", "converted"],
) -> Encoded | Refusal:
    height, width = bgr.shape[:2]
    refusal = _over_limit(width, height, settings)
    if refusal is not None:
        return refusal
    if settings.format == "png":
        done, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    else:
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])
    if not done:
        return _undecodable("its pixels cannot be encoded")
    if data.size > settings.max_bytes:
        return too_large(f"{data.size} bytes", f"{settings.max_bytes} bytes")
    kind = ContentType.PNG if settings.format == "png" else ContentType.JPEG
    return Encoded(data.tobytes(), kind, width, height, bgr, treatment)


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
