"""The segmented picture of a fusion: which pixels of a tile are kept, in one of two ways.

`authors` keeps what the HSV thresholds of Islam et al. keep; `cells` keeps the white cells. Both see the
tile at the network's scale and refuse nothing: a tile may keep no pixel at all. What is kept stays in its
own colours (the paper multiplies image and mask; the authors' files hold hue, saturation and value).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cloud_worker.cells import find_white_cells, mask_as_authors
from cloud_worker.cells.authors import authors_thresholds
from cloud_worker.models.card import Preprocessing
from cloud_worker.models.fusion import Fusion
from training.images import KeptOf

Segmentation = Literal["authors", "cells"]


def segmenter(how: Segmentation, preprocessing: Preprocessing) -> KeptOf:
    """A function of an RGB tile H,W,3 that gives 255 where it is kept."""
    um_per_px = preprocessing.um_per_px

    def as_authors(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(mask_as_authors(tile), 255, 0).astype(np.uint8)

    def white_cells(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(find_white_cells(tile, um_per_px).mask, 255, 0).astype(np.uint8)

    return as_authors if how == "authors" else white_cells


def make_servable(
    network: nn.Module, inputs: Sequence[str], how: Segmentation, preprocessing: Preprocessing
) -> bool:
    """Let a fusion make its segmented picture itself; False where that takes more than thresholds."""
    if "segmented" not in inputs:
        return True
    if not isinstance(network, Fusion) or how != "authors":
        return False
    limits = authors_thresholds()
    network.segment_inside(both="original" not in inputs).set(
        (limits.hue, limits.saturation, limits.value), preprocessing.mean, preprocessing.std
    )
    return True
