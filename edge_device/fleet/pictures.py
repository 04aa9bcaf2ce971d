"""Small simulated fields for a fleet: a few rendered ones, each capture with bytes of its own; they are no data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge_device.encoding.encode import Pixels
from edge_device.fleet.settings import FleetImageSettings
from edge_device.simulator import DiagnosisClass, draw_slide, render_field, slide_seed

#: Fields of a fleet come from a stream of their own, never from those that models train on.
FLEET_STREAM: Final = 88
#: Device and capture number stand in a row of squares in the corner, a bit each.
_BITS_OF_EACH: Final = (16, 32)
_SQUARE_PX: Final = 2
_DARK, _BRIGHT = 165, 215


@dataclass(frozen=True, slots=True)
class Pictures:
    """The rendered fields; `numbered` may be called from any thread."""

    fields: tuple[Pixels, ...]
    quality: int

    def numbered(self, device: int, capture: int) -> bytes:
        """The JPEG of one capture; equal bytes would be stored once and be one image."""
        marked = self.fields[capture % len(self.fields)].copy()
        at = 0
        for number, bits in zip((device, capture), _BITS_OF_EACH, strict=True):
            for bit in range(bits):
                top, left = divmod(at, 16)
                grey = _BRIGHT if number >> bit & 1 else _DARK
                rows = slice(top * _SQUARE_PX, (top + 1) * _SQUARE_PX)
                marked[rows, left * _SQUARE_PX : (left + 1) * _SQUARE_PX] = grey
                at += 1
        done, data = cv2.imencode(".jpg", marked, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        if not done:
            raise RuntimeError(f"capture {capture} of device {device} cannot be encoded")
        return bytes(data)


def render_pictures(settings: FleetImageSettings) -> Pictures:
    """The fields of this fleet, classes in turn."""
    kinds = tuple(DiagnosisClass)
    fields = []
    for number in range(settings.distinct):
        rgb = render_field(
            draw_slide(slide_seed(0, FLEET_STREAM, number)),
            kinds[number % len(kinds)],
            number,
            width_px=settings.width_px,
            height_px=settings.height_px,
            um_per_px=settings.um_per_px,
        ).image
        fields.append(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8))
    return Pictures(tuple(fields), settings.jpeg_quality)
