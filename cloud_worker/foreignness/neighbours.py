"""Distance to the k-th nearest training image in whitened principal directions of the pooled features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Distances, Tensors
from cloud_worker.foreignness.spread import Spread, Vectors, measure_spread, nearest, spread_out

NEIGHBOUR = 5
MOST_KEPT = 1500


@dataclass(frozen=True, slots=True)
class Neighbours:
    """M training images in D directions."""

    kind: ClassVar[str] = "neighbours"

    spread: Spread
    bank: NDArray[np.float32]
    """M,D, whitened."""

    @property
    def dims(self) -> int:
        """D."""
        return int(self.bank.shape[1])

    def tensors(self) -> Tensors:
        """By the names that a bundle's card and safetensors file use."""
        return {
            "ood.centre": self.spread.centre,
            "ood.basis": self.spread.basis,
            "ood.variances": self.spread.variances,
            "ood.bank": self.bank,
        }

    def distances(self, seen: Outputs) -> Distances:
        """One per tile."""
        return nearest(self.spread.whitened(seen.features), self.bank, NEIGHBOUR)


def fit_neighbours(features: Vectors, dims: int) -> Neighbours:
    """Fit on N,C training features."""
    spread = measure_spread(features, dims)
    white = spread.whitened(features)
    kept = spread_out(white, MOST_KEPT)
    return Neighbours(spread, white[kept].astype(np.float32))
