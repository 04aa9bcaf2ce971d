"""Mahalanobis distance of pooled features to the nearest class centre, with one shared covariance.

`dims` principal directions have a variance each, and all that is left shares one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Distances, Tensors

SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Mahalanobis:
    """C feature channels, D principal directions, K class centres."""

    kind: ClassVar[str] = "mahalanobis"

    centres: NDArray[np.float32]
    """K,C."""
    basis: NDArray[np.float32]
    """D,C with orthonormal rows."""
    variances: NDArray[np.float32]
    """D."""
    residual_variance: NDArray[np.float32]
    """1: mean variance over the C - D directions outside the basis."""

    @property
    def dims(self) -> int:
        """D."""
        return len(self.variances)

    def tensors(self) -> Tensors:
        """By the names that a bundle's card and safetensors file use."""
        return {
            "ood.centres": self.centres,
            "ood.basis": self.basis,
            "ood.variances": self.variances,
            "ood.residual_variance": self.residual_variance,
        }

    def distances(self, seen: Outputs) -> Distances:
        """Root mean square over the C directions, near 1 inside."""
        return self.distances_of(seen.features)

    def distances_of(self, vectors: NDArray[np.floating]) -> Distances:
        """The same of any N,C vectors of the kind that it was fitted on."""
        features = vectors.astype(np.float64)
        channels = self.centres.shape[1]
        best = np.full(len(features), np.inf)
        for centre in self.centres.astype(np.float64):
            offset = features - centre
            inside = offset @ self.basis.T.astype(np.float64)
            rest = np.maximum((offset**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)
            squared = (inside**2 / self.variances).sum(axis=1) + rest / self.residual_variance[0]
            best = np.minimum(best, squared)
        distances: Distances = np.sqrt(best / channels)
        return distances


def fit_mahalanobis(
    features: NDArray[np.floating], labels: NDArray[np.integer], dims: int
) -> Mahalanobis:
    """Fit on N,C training features and their N class numbers; variances get a floor of 1e-6."""
    x = features.astype(np.float64)
    classes = np.unique(labels)
    centres = np.stack([x[labels == k].mean(axis=0) for k in classes])
    offset = x - centres[np.searchsorted(classes, labels)]
    _, singular, directions = np.linalg.svd(offset, full_matrices=False)
    dims = min(dims, len(singular))
    spread = singular**2 / max(1, len(x) - len(classes))
    left = max(1, x.shape[1] - dims)
    residual = max(float(spread[dims:].sum()) / left, SMALLEST_VARIANCE)
    return Mahalanobis(
        centres=centres.astype(np.float32),
        basis=directions[:dims].astype(np.float32),
        variances=np.maximum(spread[:dims], SMALLEST_VARIANCE).astype(np.float32),
        residual_variance=np.array([residual], np.float32),
    )
