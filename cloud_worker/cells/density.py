"""How much light each colour loses to the stain, and how violet it is; it names no cell.

Colour is judged as optical density against the field's own empty background (Ruifrok & Johnston
2001), which dyes add up in and which a dark or coloured corner leaves alone. What tells a nucleus on
every microscope tried is that azure on DNA absorbs green and lets blue through, while haemoglobin and
eosin absorb both: `violet` is the green that the field's own red cells do not explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Density of green above which a pixel is matter at all.
MATTER = 0.07
#: Pixels of matter, of a quarter of all, that a field must have before its own red cells can be asked for their colour.
_FEWEST_MATTER_PX = 30
#: Percentile that belongs to red cells, and the most that they are taken to explain: a field may
#: show nuclei only.
_PALER, _MOST_BY_BLUE, _MOST_BY_RED = 30, 2.5, 0.35
#: Red cells of a bluish stain absorb this much more red than green, and are this share of the matter.
_BLUISH, _LEAST_BLUISH = 1.1, 0.33
#: Background is sought within this width, on a picture an eighth as large: more than a cell and its
#: neighbours, less than the light takes to change.
_REACH_UM, _SHRINK = 28.0, 8
#: Against the noise of a camera: an eighth of a nucleus.
_BLUR_PX = 0.7
_LOGARITHMS = np.log(np.arange(256, dtype=np.float32) + 2)

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Densities:
    """H,W planes of one field at the working scale; 0 is empty background."""

    red: Plane
    green: Plane
    blue: Plane
    violet: Plane


def measure_densities(rgb: NDArray[np.uint8], um_per_px: float) -> Densities:
    """Densities of an 8-bit image H,W,3."""
    red, green, blue = (_density(rgb[:, :, channel], um_per_px) for channel in range(3))
    return Densities(red, green, blue, _violet(red, green, blue))


def _violet(red: Plane, green: Plane, blue: Plane) -> Plane:
    """The green that the field's own red cells do not explain, by the blue and then by the red."""
    by_blue, by_red = _explained(red[::2, ::2], green[::2, ::2], blue[::2, ::2])
    violet = green - np.float32(by_blue) * blue
    return np.asarray(violet - np.float32(by_red) * red if by_red else violet, np.float32)


def _explained(red: Plane, green: Plane, blue: Plane) -> tuple[float, float]:
    """Green per blue, and what is left of it per red, of the field's red cells."""
    matter = green > MATTER
    if np.count_nonzero(matter) < _FEWEST_MATTER_PX:
        return 1.0, 0.0
    red, green, blue = red[matter], green[matter], blue[matter]
    # The paler third is red cells, never nuclei, wherever a field has any.
    ratios = green / np.maximum(blue, np.float32(0.02))
    by_blue = float(np.clip(np.percentile(ratios, _PALER), 1.0, _MOST_BY_BLUE))
    # Where they stain bluish there is little blue to go by, and their red is what is left.
    bluish = red > _BLUISH * green
    if np.count_nonzero(bluish) < _LEAST_BLUISH * len(red):
        return by_blue, 0.0
    left = green[bluish] - np.float32(by_blue) * blue[bluish]
    by_red = np.median(left / np.maximum(red[bluish], np.float32(0.05)))
    return by_blue, float(np.clip(by_red, 0.0, _MOST_BY_RED))


def _density(plane: NDArray[np.uint8], um_per_px: float) -> Plane:
    height, width = plane.shape
    size = max(8, width // _SHRINK), max(8, height // _SHRINK)
    small = cv2.medianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), 3)
    reach = round(_REACH_UM / um_per_px / _SHRINK) | 1
    bright = cv2.dilate(small, np.ones((reach, reach), np.uint8)).astype(np.float32)
    smooth = cv2.blur(bright, (reach, reach), borderType=cv2.BORDER_REFLECT)
    # The logarithm of the background is as smooth as the background: taken small, then enlarged.
    empty = cv2.resize(cv2.log(smooth + 2), (width, height))
    soft = cv2.GaussianBlur(plane, (0, 0), _BLUR_PX)
    return np.asarray(empty - cv2.LUT(soft, _LOGARITHMS), np.float32)
