"""A capture becomes the file that travels, and the pixels that the gate looks at; it judges no picture.

Files that already are JPEG, PNG or still WebP keep their pixels bit for bit and lose their
metadata, part by part; a lossy WebP too, for encoding it again could only lose more. One that lies
on its side by EXIF, of which only a region is wanted, or whose pixels were corrected, is encoded
again, as camera pixels and all other formats are. Over a limit or undecodable is a refusal in
words, never an exception to the caller.

The order is open, correct (the flat field knows whole frames), `crop`, gate, `encode`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from edge_device.encoding.colour_profile import ColourProfile
from edge_device.encoding.file_facts import read_facts
from edge_device.encoding.other_formats import is_other_format, read_size
from edge_device.outbox.rows import Refusal
from service_runtime.settings import Settings
from wire_protocol.bare_image import bare_image
from wire_protocol.image_header import Encoding, read_header
from wire_protocol.image_parts import HeaderError
from wire_protocol.json_messages import Reason
from wire_protocol.manifest import MAX_IMAGE_BYTES, MAX_PIXELS, MAX_SIDE_PX, ContentType

Pixels = npt.NDArray[np.uint8]
_TRAVELS = {
    Encoding.JPEG: ContentType.JPEG,
    Encoding.PNG: ContentType.PNG,
    Encoding.WEBP: ContentType.WEBP,
}
_CHROMA = {
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}
_TURNS: dict[int, Callable[[Pixels], Any]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


class Region(Settings):
    """A part of the frame, in fractions of its width and height from the top left corner."""

    x: float = Field(default=0.0, ge=0, lt=1)
    y: float = Field(default=0.0, ge=0, lt=1)
    width: float = Field(default=1.0, gt=0, le=1)
    height: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _lies_in_the_frame(self) -> Self:
        # 0.7 + 0.3 is a little more than 1 to a computer.
        if self.x + self.width > 1 + 1e-9 or self.y + self.height > 1 + 1e-9:
            raise ValueError("the region must lie in the frame: x + width and y + height at most 1")
        return self

    def pixels_of(self, width_px: int, height_px: int) -> tuple[slice, slice]:
        """(rows, columns) of a frame of that size; at least one pixel."""
        return _span(self.y, self.height, height_px), _span(self.x, self.width, width_px)


def _span(start: float, share: float, side_px: int) -> slice:
    first = min(round(start * side_px), side_px - 1)
    return slice(first, max(first + 1, min(round((start + share) * side_px), side_px)))


class EncodeSettings(Settings):
    """How camera pixels are encoded, and what is too large to take. WebP is lossless only.

    The defaults are the smallest that move the answer no more than one pixel of the stage does:
    docs/encoding.md.
    """

    format: Literal["jpeg", "png", "webp"] = "jpeg"
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    #: Of JPEG: "444" keeps a colour per pixel, "420" one for each 2 x 2 pixels.
    chroma: Literal["420", "444"] = "444"
    #: The part of the frame that is judged and sent; the whole where it is not given.
    region: Region | None = None
    max_bytes: int = Field(default=MAX_IMAGE_BYTES, ge=1, le=MAX_IMAGE_BYTES)
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)


Treatment = Literal[
    "encoded", "stripped", "turned_and_encoded", "converted",
    "cropped_and_encoded", "corrected_and_encoded",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A capture's pixels (BGR, 8 bit) for the gate, and its file without metadata where that travels."""

    pixels: Pixels
    treatment: Treatment
    stripped: bytes = b""
    content_type: ContentType | None = None
    #: What the file said of its colours; its profile does not travel.
    profile: ColourProfile = ColourProfile.NONE


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
    if not is_other_format(data):
        return _open_whole(data, settings)
    size = read_size(data)
    if size is None:
        return _undecodable("its header says no size")
    refusal = _over_limit(*size, settings)
    if refusal is not None:
        return refusal
    pixels = _decode(data)
    return _undecodable("its pixels are damaged") if pixels is None else Opened(pixels, "converted")


def crop(opened: Opened, settings: EncodeSettings) -> Opened:
    """The region of the settings, for gate and encoder alike; the same where it is the whole."""
    height, width = opened.pixels.shape[:2]
    if settings.region is None:
        return opened
    part = opened.pixels[settings.region.pixels_of(width, height)]
    if part.shape == opened.pixels.shape:
        return opened
    cropped = np.ascontiguousarray(part)
    return Opened(cropped, "cropped_and_encoded", profile=opened.profile)


def reworked(opened: Opened, pixels: Pixels) -> Opened:
    """With corrected pixels, so that the file's own bytes no longer travel; the same without any."""
    if pixels is opened.pixels:
        return opened
    return Opened(pixels, "corrected_and_encoded", profile=opened.profile)


def encode(opened: Opened, settings: EncodeSettings) -> Encoded | Refusal:
    """The bytes that travel: the stripped file, or the pixels encoded as the settings say."""
    height, width = opened.pixels.shape[:2]
    if opened.content_type is not None:
        return Encoded(opened.stripped, opened.content_type, width, height, opened.treatment)
    refusal = _over_limit(width, height, settings)
    if refusal is not None:
        return refusal
    kind, suffix, options = _how(settings)
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


def _how(settings: EncodeSettings) -> tuple[ContentType, str, list[int]]:
    """OpenCV's suffix and options for camera pixels."""
    match settings.format:
        case "png":
            return ContentType.PNG, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
        case "webp":  # above 100 means lossless
            return ContentType.WEBP, ".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]
        case "jpeg":
            return ContentType.JPEG, ".jpg", [
                cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _CHROMA[settings.chroma],
                cv2.IMWRITE_JPEG_OPTIMIZE, 1,  # Huffman tables of its own: smaller, same pixels
            ]  # fmt: skip


def _open_whole(data: bytes, settings: EncodeSettings) -> Opened | Refusal:
    """A file of a kind that travels."""
    try:
        header = read_header(data)
        refusal = _over_limit(header.width_px, header.height_px, settings)
        if refusal is not None:
            return refusal
        facts = read_facts(data, header.encoding)
        bare = bare_image(data, header.encoding)
    except HeaderError as error:
        return _undecodable(str(error))
    pixels = _decode(bare)
    if pixels is None or pixels.shape[:2] != (header.height_px, header.width_px):
        return _undecodable("its pixels are damaged")
    if facts.orientation != 1:
        turned = np.ascontiguousarray(_TURNS[facts.orientation](pixels), np.uint8)
        return Opened(turned, "turned_and_encoded", profile=facts.profile)
    return Opened(pixels, "stripped", bare, _TRAVELS[header.encoding], facts.profile)


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
