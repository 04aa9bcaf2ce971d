"""The empty background of one frame as a smooth low-resolution field, or why it cannot be told; it keeps nothing.

The frame is reduced to a width of about 320 to 640 px and to 16 x 10 tiles. Each tile gives the
colour of its bright end: the glass between the cells. Pixels are ranked by R+G+B, those on and
beside steep steps (rims, and the coloured halos and glints along them) as if they were darker, and
those from the 80th to the 96th percentile are averaged.
A polynomial of degree 4 per channel is fitted to the tiles' logarithms, reweighted so that tiles
darker than the fit, those that cells fill, count for little (Cauchy weights).
Shape and level are told apart: the level is the geometric mean.

All is done on the camera's encoded values. For a tone curve that is a power, a factor of light
is a factor of the encoded value; elsewhere it is an approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]
#: Natural logarithms on the node grid (rows, columns, B G R).
LogField = npt.NDArray[np.float32]

#: Nodes of the field, from edge to edge of the frame; rows and columns.
NODES = (21, 33)
_TILES_X, _TILES_Y = 16, 10
_WORK_WIDTH_PX = 320
_LEAST_TILE_PX = 8
_DEGREE = 4
_LOW, _HIGH = 0.80, 0.96
#: A step is steep at this many times the frame's median one and at least this share of the level.
_STEEP, _LEAST_STEP = 2.5, 0.015
#: What a pixel's brightness counts for in the ranking where it is beside a steep step.
_STEEP_COUNTS = 0.9
_ROUNDS = 8
#: Tiles off by so many median deviations lose half of their weight; below the least spread (in
#: logarithm) tiles are taken as equal.
_SPREADS, _LEAST_SPREAD = 1.5, 0.006
#: Pulls the fit to a lower degree where few tiles show background.
_RIDGE = 0.02
#: Levels outside of these teach nothing: the lamp is off, or the sensor is full.
_DARKEST, _BRIGHTEST = 40.0, 250.0
#: A tile shows background where it is this near to the fit (logarithm); so many have to.
_NEAR = 0.03
_LEAST_SHOWN = 0.25
#: No microscope that one would correct is more uneven than this (rms of the logarithm).
_MOST_UNEVEN = 0.6


class Unfit(Enum):
    """Why a frame tells nothing about the light."""

    TOO_SMALL = "too small to tell background from cells"
    TOO_DARK = "too dark"
    TOO_BRIGHT = "background clipped"
    NO_BACKGROUND = "no even background visible"


@dataclass(frozen=True, slots=True)
class Background:
    """What the frame would be without cells: exp(shape) * level; `shape` has mean 0 per channel."""

    shape: LogField
    level: npt.NDArray[np.float32]  # (3,) B G R, in levels of 0..255
    #: Share of the frame's tiles that show background.
    shown: float

    @property
    def unevenness(self) -> float:
        """Root mean square of the shape over the frame and the channels."""
        return rms(self.shape)


def rms(logarithms: LogField) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(logarithms))))


def look(bgr: Pixels) -> Background | Unfit:
    """The background of an 8-bit BGR frame (H, W, 3)."""
    height, width = bgr.shape[:2]
    factor = max(1, width // _WORK_WIDTH_PX)
    if min(width // factor // _TILES_X, height // factor // _TILES_Y) < _LEAST_TILE_PX:
        return Unfit.TOO_SMALL
    tiles, x, y = _bright_end(bgr, factor)
    middle = np.median(tiles, axis=0)
    if middle.max() < _DARKEST:
        return Unfit.TOO_DARK
    if middle.max() > _BRIGHTEST:
        return Unfit.TOO_BRIGHT
    logs = np.log(np.maximum(tiles, 1.0))
    at_tiles = _polynomials(x, y)
    ridge = np.diag([0.0] + [_RIDGE] * (at_tiles.shape[1] - 1))
    weights: Numbers = np.ones(len(logs))
    terms: Numbers = np.zeros((at_tiles.shape[1], 3))
    for _ in range(_ROUNDS):
        weighted = at_tiles * weights[:, None]
        terms = np.asarray(
            np.linalg.solve(weighted.T @ at_tiles + ridge, weighted.T @ logs), np.float64
        )
        off = (logs - at_tiles @ terms).mean(axis=1)
        spread = max(_SPREADS * float(np.median(np.abs(off))), _LEAST_SPREAD)
        # What is brighter than the fit is trusted longer than what is darker.
        weights = 1 / (1 + np.square(off / np.where(off < 0, spread, 2 * spread)))
    shown = float(np.mean(np.abs(off) < _NEAR))
    field = (_at_nodes() @ terms).reshape(*NODES, 3)
    mean = field.mean(axis=(0, 1))
    shape = (field - mean).astype(np.float32)
    if shown < _LEAST_SHOWN or rms(shape) > _MOST_UNEVEN:
        return Unfit.NO_BACKGROUND
    return Background(shape, np.exp(mean).astype(np.float32), shown)


def _bright_end(bgr: Pixels, factor: int) -> tuple[Numbers, Numbers, Numbers]:
    """Mean colour of the bright end of each tile (tiles, 3), and where those pixels lie on average.

    Where they lie and not the tile's centre: in the corners the bright end is the inner side.
    """
    height, width = bgr.shape[:2]
    size = (width // factor, height // factor)
    cut = bgr[: size[1] * factor, : size[0] * factor]
    small = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
    if factor == 1:
        # Nothing was averaged: the bright end of a tile would be its brightest noise.
        small = np.asarray(cv2.blur(small, (3, 3)), np.uint8)
    tile_x, tile_y = size[0] // _TILES_X, size[1] // _TILES_Y
    left, top = (size[0] - tile_x * _TILES_X) // 2, (size[1] - tile_y * _TILES_Y) // 2
    inner = small[top : top + tile_y * _TILES_Y, left : left + tile_x * _TILES_X]
    count = tile_x * tile_y

    def by_tile(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return (
            plane.reshape(_TILES_Y, tile_y, _TILES_X, tile_x, -1)
            .transpose(0, 2, 1, 3, 4)
            .reshape(_TILES_Y * _TILES_X, count, -1)
        )

    # 16-bit integers are sorted by radix, which is what makes this cheap.
    order = np.argsort(by_tile(_rank(inner))[:, :, 0], axis=1, kind="stable")
    bright = order[:, int(_LOW * count) : int(_HIGH * count)]
    chosen = np.take_along_axis(by_tile(inner), bright[:, :, None], axis=1)
    row, column = np.divmod(np.arange(_TILES_Y * _TILES_X), _TILES_X)
    x = left + 0.5 + column * tile_x + (bright % tile_x).mean(axis=1)
    y = top + 0.5 + row * tile_y + (bright // tile_x).mean(axis=1)
    colours = np.asarray(chosen.mean(axis=1), np.float64)
    return colours, x * (2 * factor / width) - 1, y * (2 * factor / height) - 1


def _rank(small: Pixels) -> npt.NDArray[np.uint16]:
    """How bright a pixel is for the choice (rows, columns)."""
    total = small.sum(axis=2, dtype=np.uint16)
    smooth = cv2.blur(total, (3, 3))
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    step = cv2.magnitude(across, down) / (8 * np.maximum(smooth, 1)).astype(np.float32)
    steep = step > max(_STEEP * float(np.median(step)), _LEAST_STEP)
    beside = cv2.dilate(steep.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(np.where(beside, total * np.float32(_STEEP_COUNTS), total), np.uint16)


@cache
def _at_nodes() -> Numbers:
    """The polynomials at the nodes: (nodes, terms)."""
    x, y = np.linspace(-1, 1, NODES[1]), np.linspace(-1, 1, NODES[0])
    return _polynomials(np.tile(x, len(y)), np.repeat(y, len(x)))


def _polynomials(x: Numbers, y: Numbers) -> Numbers:
    """Products of Legendre polynomials up to the degree, the constant first: (points, terms)."""
    across = np.polynomial.legendre.legvander(x, _DEGREE)
    down = np.polynomial.legendre.legvander(y, _DEGREE)
    terms = [across[:, i] * down[:, j] for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    return np.stack(terms, axis=1)
