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
#: Pixels of matter that a field must have before its own red cells can be asked for their colour.
_FEWEST_MATTER_PX = 100
#: Percentile that belongs to red cells, and the most that they are taken to explain: a field may
#: show nuclei only.
_PALER, _MOST_BY_BLUE, _MOST_BY_RED = 30, 2.5, 0.35
#: Red cells of a bluish stain absorb this much more red than green, and are this share of the matter.
_BLUISH, _LEAST_BLUISH = 1.1, 0.33
#: Background is sought within this share of the longer side, on a picture an eighth as large.
_SHRINK, _REACH = 8, 5
#: Against the noise of a camera: an eighth of a nucleus.
_BLUR_PX = 0.7

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Densities:
    """H,W planes of one field at the working scale; 0 is empty background."""

    red: Plane
    green: Plane
    blue: Plane
    violet: Plane


def measure_densities(rgb: NDArray[np.uint8]) -> Densities:
    """Densities of an 8-bit image H,W,3."""
    red, green, blue = (_density(rgb[:, :, channel]) for channel in range(3))
    return Densities(red, green, blue, _violet(red, green, blue))


def _violet(red: Plane, green: Plane, blue: Plane) -> Plane:
    """The green that the field's own red cells do not explain, by the blue and then by the red."""
    matter = green > MATTER
    if np.count_nonzero(matter) < _FEWEST_MATTER_PX:
        return green - blue
    # The paler third is red cells, never nuclei, wherever a field has any.
    ratios = green[matter] / np.maximum(blue[matter], np.float32(0.02))
    share = float(np.clip(np.percentile(ratios, _PALER), 1.0, _MOST_BY_BLUE))
    violet = green - np.float32(share) * blue
    # Where they stain bluish there is little blue to go by, and their red is what is left.
    bluish = matter & (red > _BLUISH * green)
    if np.count_nonzero(bluish) < _LEAST_BLUISH * np.count_nonzero(matter):
        return np.asarray(violet, np.float32)
    ratios = violet[bluish] / np.maximum(red[bluish], np.float32(0.05))
    share = float(np.clip(np.median(ratios), 0.0, _MOST_BY_RED))
    return np.asarray(violet - np.float32(share) * red, np.float32)


def _density(plane: NDArray[np.uint8]) -> Plane:
    height, width = plane.shape
    size = max(8, width // _SHRINK), max(8, height // _SHRINK)
    small = cv2.medianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), 3)
    reach = (max(size) // _REACH) | 1
    bright = cv2.dilate(small, np.ones((reach, reach), np.uint8)).astype(np.float32)
    smooth = cv2.blur(bright, (reach, reach), borderType=cv2.BORDER_REFLECT)
    empty = cv2.resize(smooth, (width, height)) + 2
    soft = cv2.GaussianBlur(plane, (0, 0), _BLUR_PX).astype(np.float32) + 2
    return np.asarray(cv2.log(empty) - cv2.log(soft), np.float32)
