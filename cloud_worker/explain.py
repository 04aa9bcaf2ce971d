"""The exact class-activation map of a network that ends in pooling and one linear layer, in numpy.

map_k(y, x) = sum over channels c of weight[k, c] * maps[c, y, x]. Its mean plus bias[k] IS logit
k, so the map is the network's own arithmetic and not an approximation. It shows what the score was
made of and refuses to say more: it does not show that the score is right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloud_worker.tiling import TilePlan


def class_maps(maps: NDArray[np.floating], weight: NDArray[np.floating]) -> NDArray[np.float32]:
    """Last feature maps N,C,h,w and linear weight K,C -> one map per class, N,K,h,w."""
    count, channels, height, width = maps.shape
    flat = maps.reshape(count, channels, height * width).astype(np.float32, copy=False)
    out: NDArray[np.float32] = np.matmul(weight.astype(np.float32), flat)
    return out.reshape(count, len(weight), height, width)


def field_map(tile_maps: NDArray[np.float32], plan: TilePlan) -> NDArray[np.float32]:
    """Tiles' class maps N,K,h,w laid over the padded field at map resolution, overlaps averaged."""
    count, classes, h, w = tile_maps.shape
    if count != plan.count:
        raise ValueError(f"{count} tile maps for {plan.count} tiles")
    step_y, step_x = plan.tile_height_px / h, plan.tile_width_px / w
    height = round(plan.tops[-1] / step_y) + h
    width = round(plan.lefts[-1] / step_x) + w
    total = np.zeros((classes, height, width), np.float32)
    seen = np.zeros((height, width), np.float32)
    for tile, (top, left) in zip(tile_maps, plan.corners(), strict=True):
        y, x = round(top / step_y), round(left / step_x)
        total[:, y : y + h, x : x + w] += tile
        seen[y : y + h, x : x + w] += 1
    return (total / np.maximum(seen, 1)).astype(np.float32)
