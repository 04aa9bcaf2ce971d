"""Distance to the k-th nearest training image in whitened principal directions of the pooled features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Distances
from cloud_worker.foreignness.spread import Bank, Vectors, measure_spread, spread_out

NEIGHBOUR = 5
MOST_KEPT = 1500


@dataclass(frozen=True, slots=True)
class Neighbours(Bank):
    """M training images in D directions."""

    kind: ClassVar[str] = "neighbours"

    def distances(self, seen: Outputs) -> Distances:
        """One per tile."""
        return self.gaps(seen.features, NEIGHBOUR)


def fit_neighbours(features: Vectors, dims: int) -> Neighbours:
    """Fit on N,C training features."""
    spread = measure_spread(features, dims)
    white = spread.whitened(features)
    kept = spread_out(white, MOST_KEPT)
    return Neighbours(spread, white[kept].astype(np.float32))
