"""How far an image's features lie from the training images; says a distance, never a class.

Mahalanobis distance to the nearest class centre with one shared covariance: `dims` principal
directions with a variance each, and one variance for all that is left. A tile is scored by itself
and a field by the area-weighted mean of its tiles' distances, because averaged features would lie
nearer to the centres than any single training image does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.bundle_folder import Bundle

Features = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class OodModel:
    """The fitted tensors; C feature channels, D principal directions, K class centres."""

    centres: NDArray[np.float32]
    """K,C."""
    basis: NDArray[np.float32]
    """D,C with orthonormal rows."""
    variances: NDArray[np.float32]
    """D."""
    residual_variance: NDArray[np.float32]
    """1: mean variance over the C - D directions outside the basis."""

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """By the names that a bundle's card and safetensors file use."""
        return {
            "ood.centres": self.centres,
            "ood.basis": self.basis,
            "ood.variances": self.variances,
            "ood.residual_variance": self.residual_variance,
        }

    def distances(self, features: Features) -> NDArray[np.float64]:
        """N,C features -> N distances: root mean square over C directions, near 1 inside."""
        channels = self.centres.shape[1]
        best = np.full(len(features), np.inf)
        for centre in self.centres.astype(np.float64):
            offset = features.astype(np.float64) - centre
            inside = offset @ self.basis.T.astype(np.float64)
            rest = np.maximum((offset**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)
            squared = (inside**2 / self.variances).sum(axis=1) + rest / self.residual_variance[0]
            best = np.minimum(best, squared)
        distances: NDArray[np.float64] = np.sqrt(best / channels)
        return distances


def fit_ood(features: Features, labels: NDArray[np.integer], dims: int) -> OodModel:
    """Fit on N,C training features and their N class numbers; variances get a floor of 1e-6."""
    x = features.astype(np.float64)
    classes = np.unique(labels)
    centres = np.stack([x[labels == k].mean(axis=0) for k in classes])
    offset = x - centres[np.searchsorted(classes, labels)]
    _, singular, directions = np.linalg.svd(offset, full_matrices=False)
    dims = min(dims, len(singular))
    spread = singular**2 / max(1, len(x) - len(classes))
    left = max(1, x.shape[1] - dims)
    residual = max(float(spread[dims:].sum()) / left, 1e-6)
    return OodModel(
        centres=centres.astype(np.float32),
        basis=directions[:dims].astype(np.float32),
        variances=np.maximum(spread[:dims], 1e-6).astype(np.float32),
        residual_variance=np.array([residual], np.float32),
    )


def percentile_table(distances: NDArray[np.floating]) -> tuple[float, ...]:
    """The distances at percentiles 0, 1, ..., 100: what card.ood.percentiles holds."""
    return tuple(float(d) for d in np.percentile(distances, np.arange(101)))


def percentile_of(distance: float, table: tuple[float, ...]) -> float:
    """Share (0 to 100) of calibration images that lie nearer than `distance`."""
    return float(np.interp(distance, table, np.arange(len(table))))


def load_ood(bundle: Bundle) -> OodModel | None:
    """The bundle's fitted tensors, or None where it carries none."""
    if bundle.card.ood is None:
        return None
    stored: Mapping[str, NDArray[Any]] = bundle.tensors("ood.")
    return OodModel(
        *(
            stored[f"ood.{part}"].astype(np.float32)
            for part in ("centres", "basis", "variances", "residual_variance")
        )
    )
