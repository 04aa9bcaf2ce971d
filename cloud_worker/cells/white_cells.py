"""Finds the white cells of a field on any stain and scale, as boxes, nucleus areas and a mask.

It counts and outlines; it names no cell type and no disease. It works at 0.4 um per pixel whatever the
camera's resolution, so a field costs a few milliseconds, and it needs the scale: without one nothing
says what is a platelet and what a nucleus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.cells.density import measure_densities
from cloud_worker.cells.nuclei import find_nuclei
from cloud_worker.cells.outlines import grow_outlines

WORKING_UM_PER_PX = 0.4
#: Coarser pictures show a lymphocyte on fewer pixels than it takes to tell it from a platelet.
COARSEST_UM_PER_PX = 1.0
FINEST_UM_PER_PX = 0.01
_LEAST_SIDE_PX = 16

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the image."""


@dataclass(frozen=True, slots=True)
class WhiteCells:
    """The white cells of one image, in reading order of their nuclei."""

    height_px: int
    width_px: int
    boxes: tuple[Box, ...]
    nucleus_um2: tuple[float, ...]
    outlines: tuple[NDArray[np.float32], ...]
    """Per cell K,2 points (x, y) in pixels of the image."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """H,W: True where a white cell is; drawn anew each time."""
        drawn = np.zeros((self.height_px, self.width_px), np.uint8)
        for outline in self.outlines:
            cv2.fillPoly(drawn, [np.rint(outline * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        return drawn.astype(bool)


def find_white_cells(rgb: NDArray[np.uint8], um_per_px: float) -> WhiteCells:
    """The white cells of an 8-bit RGB field H,W,3; ValueError where the scale cannot serve."""
    if not FINEST_UM_PER_PX <= um_per_px <= COARSEST_UM_PER_PX:
        raise ValueError(
            f"{um_per_px:g} um per pixel: white cells are found from {FINEST_UM_PER_PX:g} to "
            f"{COARSEST_UM_PER_PX:g} um per pixel"
        )
    height, width = rgb.shape[:2]
    factor = min(1.0, um_per_px / WORKING_UM_PER_PX)
    small_width, small_height = round(width * factor), round(height * factor)
    if min(small_width, small_height) < _LEAST_SIDE_PX:
        return WhiteCells(height, width, (), (), ())
    small = rgb
    if factor < 1:
        small = np.asarray(
            cv2.resize(rgb, (small_width, small_height), interpolation=cv2.INTER_AREA), np.uint8
        )
    scale = um_per_px * width / small_width
    densities = measure_densities(small, scale)
    nuclei = find_nuclei(densities, scale)
    if not nuclei.areas_um2:
        return WhiteCells(height, width, (), (), ())
    outlines = grow_outlines(densities, nuclei, scale).points
    enlarge = np.array([width / small_width, height / small_height], np.float32)
    # The middle of pixel 0 lies half a pixel from the edge, in the small picture and in the large.
    at = (outlines + np.float32(0.5)) * enlarge - np.float32(0.5)
    limits = np.array([width - 1, height - 1], np.float32)
    at = np.clip(at, 0, limits)
    return WhiteCells(
        height,
        width,
        tuple(_box(outline, width, height) for outline in at),
        nuclei.areas_um2,
        tuple(at),
    )


def _box(outline: NDArray[np.float32], width: int, height: int) -> Box:
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    x, y = math.floor(left), math.floor(top)
    return x, y, min(width, math.ceil(right) + 1) - x, min(height, math.ceil(bottom) + 1) - y
