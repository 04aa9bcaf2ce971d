"""Covers a field with tiles of the network's input size; never crops, so no cell is left out.

Fields larger than the input get overlapping tiles, evenly spaced; smaller ones are padded by
reflection at the top and left, so that the bottom-right corner (where a scale bar may be burned in
and is masked) stays where it is. Tile weights share every pixel of the field equally among the
tiles that see it, so pooled logits do not depend on how often a pixel happens to be covered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Where the tiles of one field lie, in pixels of the padded field."""

    tile_height_px: int
    tile_width_px: int
    pad_top_px: int
    pad_left_px: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    weights: NDArray[np.float64]
    """One per tile in row order; they sum to 1."""

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.tops) * len(self.lefts)

    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of each tile, row by row."""
        return [(top, left) for top in self.tops for left in self.lefts]


def plan_tiles(
    height_px: int,
    width_px: int,
    *,
    tile_height_px: int,
    tile_width_px: int,
    overlap: float,
    masked_corner_px: int = 0,
) -> TilePlan:
    """Tiles that cover a field of this size with at least `overlap` (share of a side) in common.

    Neighbours also share at least the masked corner, so what one tile masks another one sees (the
    bottom-right corner of the whole field excepted).
    """
    pad_top, pad_left = max(0, tile_height_px - height_px), max(0, tile_width_px - width_px)
    tops, row_weights = _along(height_px + pad_top, tile_height_px, overlap, masked_corner_px)
    lefts, column_weights = _along(width_px + pad_left, tile_width_px, overlap, masked_corner_px)
    weights = np.outer(row_weights, column_weights).ravel()
    weights.flags.writeable = False
    return TilePlan(tile_height_px, tile_width_px, pad_top, pad_left, tops, lefts, weights)


def _along(
    length: int, tile: int, overlap: float, masked: int
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Tile starts along one axis, and each tile's share of the axis."""
    if length <= tile:
        return (0,), np.ones(1)
    shared = min(max(math.ceil(overlap * tile), masked), tile - 1)
    count = math.ceil((length - shared) / (tile - shared))
    starts = tuple(round(i * (length - tile) / (count - 1)) for i in range(count))
    coverage = np.zeros(length)
    for start in starts:
        coverage[start : start + tile] += 1
    shares = np.array([(1 / coverage[start : start + tile]).sum() for start in starts])
    return starts, shares / length


def cut_tiles(
    field: NDArray[np.uint8], plan: TilePlan, start: int = 0, stop: int | None = None
) -> NDArray[np.uint8]:
    """Tiles `start` to `stop` of the plan: field H,W,3 -> tiles N,h,w,3."""
    if plan.pad_top_px or plan.pad_left_px:
        pads = ((plan.pad_top_px, 0), (plan.pad_left_px, 0), (0, 0))
        field = np.pad(field, pads, mode="reflect")
    h, w = plan.tile_height_px, plan.tile_width_px
    chosen = plan.corners()[start:stop]
    tiles = np.empty((len(chosen), h, w, 3), np.uint8)
    for tile, (top, left) in zip(tiles, chosen, strict=True):
        tile[:] = field[top : top + h, left : left + w]
    return tiles


def pool(values: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area-weighted mean over tiles of N,... values."""
    pooled: NDArray[np.float64] = np.tensordot(weights, values.astype(np.float64), axes=(0, 0))
    return pooled
