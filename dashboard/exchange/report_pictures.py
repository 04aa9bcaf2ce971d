"""Pictures as a report shows them: made small, never turned, and with the class map over them; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dashboard.exchange.facts import ReportFacts, ReportPicture
from dashboard.page.models import Models, NoMapError
from wire_protocol.words import class_word

#: Longest edge of a picture in a report: 300 dots an inch of the largest on paper.
MOST_PX: Final = 1060
_QUALITY: Final = 88
#: The field under a map is paler, so that the map is what stands out.
_PALE: Final = 0.35

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ReportMap:
    """Where the model's answer on a field comes from."""

    image_id: str
    #: The class whose score it shows.
    class_words: str
    #: The field with the map over it.
    jpeg: bytes


def report_map(facts: ReportFacts, models: Models) -> ReportMap | str:
    """The map of the first field that the result rests on and that has an answer, or why there is
    none. Runs the network once."""
    shown = next((one for one in facts.pictures if not one.is_new and one.map_key), None)
    if shown is None:
        return "the model named no class on a field of this case"
    if shown.data is None:
        return shown.missing
    try:
        png = models.map_png(shown.model, shown.data, shown.um_per_px, shown.map_key)
    except NoMapError as error:
        return str(error)
    jpeg = _overlay(shown, png)
    if jpeg is None:
        return "the picture cannot be decoded"
    return ReportMap(shown.image_id, class_word(shown.map_key), jpeg)


def small_jpeg(data: bytes, most_px: int = MOST_PX) -> bytes | None:
    """A JPEG of the picture as it is stored; None where it cannot be decoded."""
    pixels = decode(data)
    return None if pixels is None else _encode(_small(pixels, most_px))


def decode(data: bytes) -> Pixels | None:
    """BGR as stored, not turned; None where it is no picture."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _overlay(picture: ReportPicture, png: bytes) -> bytes | None:
    pixels = decode(picture.data or b"")
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or drawn is None:
        return None
    field = _small(pixels, MOST_PX).astype(np.float32)
    size = (field.shape[1], field.shape[0])
    over = cv2.resize(drawn, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    opacity = over[..., 3:] / 255
    pale = field + (255 - field) * _PALE
    return _encode(np.round(pale * (1 - opacity) + over[..., :3] * opacity).astype(np.uint8))


def _small(pixels: Pixels, most_px: int) -> Pixels:
    scale = min(1.0, most_px / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _encode(pixels: Pixels) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
