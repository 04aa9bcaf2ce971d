"""The camera's files of a run: simulated fields, no two with the same bytes; made from the seed alone.

Most are fields as a microscope gives them, some so small that they ride in the offer, some large,
some that the gate refuses (out of focus), some that nobody can decode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.field import render_field
from edge_device.simulator.slide import draw_slide

UM_PER_PX = 0.2
#: Rendered once; the pictures are made of them.
_SCENES = 6
_Pixels = npt.NDArray[np.uint8]


class Look(StrEnum):
    """What a picture is like."""

    FIELD = "field"
    SMALL = "small"
    LARGE = "large"
    BLURRED = "blurred"
    BROKEN = "broken"
    #: Only where a fault gives one: see `deadly`.
    DEADLY = "deadly"


#: How many of twenty are of each; the order is the seed's.
_DECK = [Look.FIELD] * 11 + [Look.SMALL] * 4 + [Look.LARGE] * 2 + [Look.BLURRED] * 2 + [Look.BROKEN]


@dataclass(frozen=True, slots=True)
class Picture:
    """A file for a camera."""

    name: str
    look: Look
    content: bytes


def draw_pictures(seed: int, count: int) -> Iterator[Picture]:
    """`count` pictures, the same for the same seed."""
    random = Random(seed)
    scenes = [_scene(seed, number) for number in range(min(_SCENES, count))]
    looks: list[Look] = []
    for number in range(count):
        if not looks:
            looks = random.sample(_DECK, len(_DECK))
        look = looks.pop()
        pixels = scenes[number % len(scenes)].copy()
        content = _encode(pixels, look, f"{seed}-{number}", random)
        yield Picture(f"{number:05d}-{look}.jpg", look, content)


def _scene(seed: int, number: int) -> _Pixels:
    kinds = tuple(DiagnosisClass)
    field = render_field(draw_slide(seed * 1000 + number), kinds[number % len(kinds)], number)
    return np.asarray(cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR), np.uint8)


def _encode(pixels: _Pixels, look: Look, words: str, random: Random) -> bytes:
    quality = 90
    picture: cv2.typing.MatLike = pixels
    if look is Look.SMALL:
        quality = 20  # and not fewer pixels: the gate would miss white cells of half their size
    elif look is Look.LARGE:
        picture = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    elif look is Look.BLURRED:
        # A spot of its own: letters would make a sharp picture of it, and metadata do not leave a device.
        spot = (random.randrange(pixels.shape[1]), random.randrange(pixels.shape[0]))
        colour = tuple(random.randrange(60, 160) for _ in range(3))
        picture = cv2.GaussianBlur(cv2.circle(pixels, spot, 40, colour, -1), (0, 0), 14)
    if look is not Look.BLURRED:
        # Written into the picture: what makes its bytes its own, and tells people which it is.
        cv2.putText(picture, words, (4, 14), cv2.FONT_HERSHEY_PLAIN, 0.9, (90, 40, 60))
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"picture {words}: not encoded")
    content = data.tobytes()
    return random.randbytes(2000) + content if look is Look.BROKEN else content
