"""Training fields whose background takes on the colours of another field's; pure.

Where a class's slides were stained or lit in their own way, what lies between the cells tells the class as
well as they do, and a network learns it (Xiao et al. 2021, arXiv 2006.09994, exchange backgrounds to show
it). Here only the colours are exchanged: per channel, the background's optical density gets the mean and
the spread of another field's, as another stain and another lamp would give it. Its red cells stay where
they are, and white cells keep their own colours.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Tile = NDArray[np.uint8]

_EDGE_PX = 1.0
"""The two colours run into each other over about so many pixels."""
_MOST_SPREAD = 2.0
"""Spread is at most doubled or halved: a background with hardly any red cells holds nothing to spread."""
_LEAST_SHARE = 0.05
"""Of the tile; a smaller background says nothing of its colours."""
_DENSITIES = -np.log(np.maximum(np.arange(256), 1) / 255.0)
"""Natural optical density of each of 256 values; 0 where all light passes."""


class Colours(NamedTuple):
    """A background's optical density: mean and standard deviation of its three channels."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def background_colours(tile: Tile, hidden_px: int = 0) -> Colours | None:
    """Colours of a tile H,W,4 outside its white cells (255 in the fourth channel) and its hidden corner.

    None where hardly any background shows.
    """
    outside = tile[..., 3] <= 127
    if hidden_px:
        outside[-hidden_px:, -hidden_px:] = False
    if outside.mean() < _LEAST_SHARE:
        return None
    densities = _DENSITIES[tile[..., :3][outside]]
    return Colours(densities.mean(axis=0), densities.std(axis=0))


def with_background(tile: Tile, own: Colours, other: Colours) -> Tile:
    """A copy of the tile H,W,4 whose background has the other's colours; white cells stay as they are."""
    stretch = other.spread / np.maximum(own.spread, 1e-3)
    stretch = np.clip(stretch, 1 / _MOST_SPREAD, _MOST_SPREAD)
    densities = (_DENSITIES[:, None] - own.mean) * stretch + other.mean
    table = np.clip(255 * np.exp(-densities) + 0.5, 0, 255).astype(np.uint8)
    changed = cv2.LUT(np.ascontiguousarray(tile[..., :3]), table.reshape(256, 1, 3))
    cells = cv2.GaussianBlur(tile[..., 3].astype(np.float32) / 255, (0, 0), _EDGE_PX)[..., None]
    mixed = tile.copy()
    mixed[..., :3] = np.round(cells * tile[..., :3] + (1 - cells) * changed)
    return mixed
