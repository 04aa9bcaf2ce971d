"""What the stain says of a field: nucleus-like and debris-like areas; it names no cell type.

Colour is judged as optical density (Ruifrok & Johnston 2001), where dyes add up. What separates a
nucleus from a red cell on every microscope tried is green against blue: azure on DNA absorbs green
and lets blue through, haemoglobin and eosin absorb both. How much blue a red cell absorbs per green
differs between laboratories, so that share is taken from the field's own paler matter, and what it
explains is taken away: overlapping red cells then stay red cells. Dark matter that absorbs blue
as much as green, and far more than red cells do, is neither: dirt, a bubble's rim, a fibre.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

#: Working scale; a nucleus is then about 20 px across.
WORKING_UM_PER_PX = 0.4
#: Longer side that a field is taken to have where its scale is unknown.
_ASSUMED_FIELD_UM = 144.0
_MOST_PX = 1_000_000
_LEAST_SIDE_PX = 24
#: Density above which a pixel is matter at all.
_MATTER = 0.07
#: Violet density of a nucleus; red cells stay below after their own colour is taken away.
_VIOLET = 0.14
#: Removes platelets' edges and bridges: pixels across.
_OPENING_PX = 5
#: Debris absorbs this much blue at least, and this share of what it absorbs of green.
_DEBRIS_BLUE, _DEBRIS_SHARE = 0.25, 0.6
#: And this many times what nine tenths of the field's matter stay below, overlapping red cells included.
_DEBRIS_OVER_MATTER = 1.6

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StainAreas:
    """The largest connected area of each kind, in um2 (as if, where the scale is unknown)."""

    nucleus_um2: float
    debris_um2: float


def measure_stain(bgr: npt.NDArray[np.uint8], um_per_px: float | None) -> StainAreas:
    """Largest nucleus-like and debris-like area of an 8-bit image (H, W, 3)."""
    longer = max(bgr.shape[:2])
    scale = um_per_px if um_per_px is not None else _ASSUMED_FIELD_UM / longer
    factor = min(1.0, scale / WORKING_UM_PER_PX, (_MOST_PX / (bgr.size / 3)) ** 0.5)
    if factor * min(bgr.shape[:2]) < _LEAST_SIDE_PX:
        return StainAreas(0.0, 0.0)
    small = bgr
    if factor < 1:
        small = np.asarray(
            cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
        )
    um2_per_px = (scale / factor) ** 2
    blue, green = _densities(small)
    matter = green > _MATTER
    if np.count_nonzero(matter) < 100:
        return StainAreas(0.0, 0.0)
    share = float(
        np.clip(np.percentile(green[matter] / np.maximum(blue[matter], 0.02), 30), 1, 2.5)
    )
    violet = (green - np.float32(share) * blue) > _VIOLET
    usual = float(np.percentile(blue[matter], 90))
    dark = blue > max(_DEBRIS_BLUE, _DEBRIS_OVER_MATTER * usual)
    debris = dark & (blue > _DEBRIS_SHARE * green)
    return StainAreas(_largest(violet) * um2_per_px, _largest(debris) * um2_per_px)


def _densities(bgr: npt.NDArray[np.uint8]) -> tuple[Plane, Plane]:
    """Optical density of blue and green light against the field's own empty background."""
    height, width = bgr.shape[:2]
    return _density(bgr[:, :, 0], height, width), _density(bgr[:, :, 1], height, width)


def _density(plane: npt.NDArray[np.uint8], height: int, width: int) -> Plane:
    eighth = cv2.resize(
        plane, (max(8, width // 8), max(8, height // 8)), interpolation=cv2.INTER_AREA
    )
    eighth = cv2.medianBlur(eighth, 3)
    reach = (max(eighth.shape[:2]) // 5) | 1
    bright = cv2.dilate(eighth, np.ones((reach, reach), np.uint8)).astype(np.float32)
    smooth = cv2.blur(bright, (reach, reach), borderType=cv2.BORDER_REFLECT)
    empty = cv2.resize(smooth, (width, height)) + 2
    soft = cv2.GaussianBlur(plane, (0, 0), 1).astype(np.float32) + 2
    return np.asarray(cv2.log(empty) - cv2.log(soft), np.float32)


def _largest(mask: npt.NDArray[np.bool_]) -> float:
    """Pixels of the largest connected area after an opening."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_OPENING_PX, _OPENING_PX))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    count, _, facts, _ = cv2.connectedComponentsWithStats(opened)
    return float(facts[1:, cv2.CC_STAT_AREA].max()) if count > 1 else 0.0
