"""What of the network's outputs on tiles a finding needs: some kilobytes, where the outputs are megabytes.

Made on the thread that ran the network, so that the last feature maps of a large field's many tiles
are never in memory together. It concludes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TileReadings:
    """Of N tiles, in their order."""

    logits: NDArray[np.float32]
    """N,K."""
    class_maps: NDArray[np.float32] | None
    """N,K,h,w; None where the network has no exact map."""
    distances: NDArray[np.float64] | None
    """N: how foreign each tile is; None where the bundle has no score."""


def join_readings(parts: Sequence[TileReadings]) -> TileReadings:
    """Readings of one bundle's tiles, one after the other."""
    if len(parts) == 1:
        return parts[0]
    maps = [part.class_maps for part in parts if part.class_maps is not None]
    distances = [part.distances for part in parts if part.distances is not None]
    return TileReadings(
        np.concatenate([part.logits for part in parts]),
        np.concatenate(maps) if maps else None,
        np.concatenate(distances) if distances else None,
    )
