"""ViM (Wang et al. 2022): what pooled features hold outside the principal directions, less the energy of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.energy import Energy
from cloud_worker.foreignness.score import Distances, Tensors
from cloud_worker.foreignness.spread import Spread, Vectors, measure_spread


@dataclass(frozen=True, slots=True)
class VirtualLogit:
    """The residual's length, scaled to the size of the logits."""

    kind: ClassVar[str] = "vim"

    spread: Spread
    scale: NDArray[np.float32]
    """1: mean largest logit over mean residual, of the training images."""

    @property
    def dims(self) -> int:
        """Directions whose outside is measured."""
        return len(self.spread.variances)

    def tensors(self) -> Tensors:
        """By the names that a bundle's card and safetensors file use."""
        return {
            "ood.centre": self.spread.centre,
            "ood.basis": self.spread.basis,
            "ood.variances": self.spread.variances,
            "ood.scale": self.scale,
        }

    def distances(self, seen: Outputs) -> Distances:
        """One per tile."""
        virtual = float(self.scale[0]) * self.spread.residual(seen.features)
        distances: Distances = np.maximum(virtual + Energy().distances(seen), 1e-6)
        return distances


def fit_virtual_logit(features: Vectors, logits: Vectors, dims: int) -> VirtualLogit:
    """Fit on N,C training features and N,K logits."""
    spread = measure_spread(features, dims)
    mean = max(float(spread.residual(features).mean()), 1e-6)
    scale = abs(float(logits.max(axis=1).mean())) / mean
    return VirtualLogit(spread, np.array([scale], np.float32))
