"""What an image tells without its cells: average colour, a corner, the background; pure.

Each clue is a short vector that a support vector machine reads beside the network. Where it reads the
class, a network may have read the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float64]

CORNER = (24 / 224, 40 / 224)
"""Height and width of the corner that is looked at, as shares of the field: a burned-in scale bar's."""
_CORNER_GRID = (6, 10)
_DARK_SHARE = 0.75
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Clues:
    """One image's clues."""

    mean_rgb: Vector
    """3."""
    corner: Vector
    """The bottom-right corner as it is on disk, 6 x 10 x 3."""
    seen_corner: Vector
    """The same as the network sees it, its masked part in one colour."""
    background: Vector
    """Median, spread and grain of the pixels that are far from any dark matter, 9 numbers."""


def read_clues(field: Rgb, preprocessing: Preprocessing) -> Clues:
    """Of a field at the bundle's scale."""
    seen = field.copy()
    side = preprocessing.masked_corner_px
    if side:
        seen[-side:, -side:] = np.round(np.array(preprocessing.mean) * 255).astype(np.uint8)
    return Clues(
        mean_rgb=seen.reshape(-1, 3).mean(axis=0),
        corner=_corner(field),
        seen_corner=_corner(seen),
        background=_background(field, side),
    )


def _corner(field: Rgb) -> Vector:
    height, width = (round(side * share) for side, share in zip(field.shape, CORNER, strict=False))
    part = field[-max(height, 1) :, -max(width, 1) :]
    grid = cv2.resize(part, _CORNER_GRID[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(grid, np.float64).ravel()


def _background(field: Rgb, masked_px: int) -> Vector:
    """Pixels brighter than cells, away from their edges and from the masked corner.

    Medians, so that it hardly matters how many pixels the cells leave.
    """
    green = cv2.GaussianBlur(field[..., 1], (0, 0), 1.5)
    bright = np.percentile(green, 95) * _DARK_SHARE
    cells = cv2.dilate((green < bright).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    free = ~cells
    if masked_px:
        free[-masked_px:, -masked_px:] = False
    if free.mean() < _LEAST_SHARE:
        free = green >= np.percentile(green, 90)
    pixels = field[free].astype(np.float64)
    grain = np.median(np.abs(cv2.Laplacian(field, cv2.CV_32F))[free], axis=0)
    low, middle, high = np.percentile(pixels, [25, 50, 75], axis=0)
    return np.concatenate([middle, high - low, grain])
