"""Three distances as one: pooled features, pooled features with their deviations over the field, and direction alone.

No single one bears light and focus as a laboratory varies them and yet sees foreign cells on its own
background: how each fares is in docs/models/judging.md. Each is counted from its median over
training images that it was not fitted on, in units of the way from there to their 90th percentile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.mahalanobis import Mahalanobis, fit_mahalanobis
from cloud_worker.foreignness.score import Distances, Tensors
from cloud_worker.foreignness.spread import Spread, Vectors, measure_spread, nearest

WEIGHTS = (0.4, 0.4, 0.2)
"""Of pooled, textured and turned."""
NEIGHBOUR = 10
MOST_KEPT = 1000
_HELD_BACK = 7
"""Every seventh image scales the distances and fits none of them."""
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Turned:
    """Directions of training features on the unit sphere."""

    spread: Spread
    bank: NDArray[np.float32]
    """M,D coordinates, not whitened."""

    def distances(self, features: Vectors) -> Distances:
        """To the tenth nearest direction."""
        return nearest(_coordinates(self.spread, features), self.bank, NEIGHBOUR)


@dataclass(frozen=True, slots=True)
class Joint:
    """The three fitted distances and their scales."""

    kind: ClassVar[str] = "joint"

    pooled: Mahalanobis
    textured: Mahalanobis
    turned: Turned
    scales: NDArray[np.float32]
    """3,2: median, and the way from there to the 90th percentile."""

    @property
    def dims(self) -> int:
        """Principal directions of each distance."""
        return self.pooled.dims

    def tensors(self) -> Tensors:
        """By the names that a bundle's card and safetensors file use."""
        named = {
            f"ood.{part}.{name.removeprefix('ood.')}": tensor
            for part, own in (("pooled", self.pooled), ("textured", self.textured))
            for name, tensor in own.tensors().items()
        }
        return named | {
            "ood.turned.centre": self.turned.spread.centre,
            "ood.turned.basis": self.turned.spread.basis,
            "ood.turned.variances": self.turned.spread.variances,
            "ood.turned.bank": self.turned.bank,
            "ood.scales": self.scales,
        }

    def distances(self, seen: Outputs) -> Distances:
        """One per tile: near 1 inside, 2 at the 90th percentile of training images."""
        parts = self._parts(seen.features, textures_of(seen))
        medians, ways = self.scales.astype(np.float64).T
        joined = 1.0 + ((parts - medians) / ways) @ np.array(WEIGHTS)
        return np.asarray(np.maximum(joined, _LEAST), np.float64)

    def _parts(self, features: Vectors, textures: Vectors) -> NDArray[np.float64]:
        """N,3."""
        return np.stack(
            [
                self.pooled.distances_of(features),
                self.textured.distances_of(textures),
                self.turned.distances(features),
            ],
            axis=1,
        )


def textures_of(seen: Outputs) -> NDArray[np.float32]:
    """N,2C: each channel's mean and deviation over the places of the last maps."""
    flat = seen.maps.reshape(*seen.maps.shape[:2], -1).astype(np.float32, copy=False)
    means = flat.mean(axis=2)
    # Of half a million values: no array of differences is made.
    squares = np.einsum("ncp,ncp->nc", flat, flat) / flat.shape[2]
    deviations = np.sqrt(np.maximum(squares - means * means, 0.0))
    return np.concatenate([seen.features.astype(np.float32), deviations], axis=1)


def fit_joint(
    features: Vectors, textures: Vectors, labels: NDArray[np.integer], dims: int
) -> Joint:
    """Fit on N,C features, N,2C textures and the N class numbers of training tiles."""
    held = np.arange(len(features)) % _HELD_BACK == 0
    kept = ~held if held.sum() >= 2 else np.ones(len(features), np.bool_)
    spread = measure_spread(_directions(features[kept]), dims)
    bank = _coordinates(spread, features[kept])
    some = np.random.default_rng(0).permutation(len(bank))[:MOST_KEPT]
    unscaled = Joint(
        fit_mahalanobis(features[kept], labels[kept], dims),
        fit_mahalanobis(textures[kept], labels[kept], dims),
        Turned(spread, bank[np.sort(some)].astype(np.float32)),
        np.tile(np.array([0.0, 1.0], np.float32), (3, 1)),
    )
    parts = unscaled._parts(features[held], textures[held])
    medians, nineties = np.percentile(parts, 50, axis=0), np.percentile(parts, 90, axis=0)
    ways = np.maximum(nineties - medians, 1e-3)
    scales = np.stack([medians, ways], axis=1).astype(np.float32)
    return Joint(unscaled.pooled, unscaled.textured, unscaled.turned, scales)


def load_joint(stored: Mapping[str, NDArray[np.float32]]) -> Joint:
    """From the tensors that `tensors` named; KeyError where one is missing."""
    parts = [
        Mahalanobis(
            *(
                stored[f"ood.{part}.{name}"]
                for name in ("centres", "basis", "variances", "residual_variance")
            )
        )
        for part in ("pooled", "textured")
    ]
    spread = Spread(*(stored[f"ood.turned.{name}"] for name in ("centre", "basis", "variances")))
    turned = Turned(spread, stored["ood.turned.bank"])
    return Joint(parts[0], parts[1], turned, stored["ood.scales"])


def _directions(features: Vectors) -> NDArray[np.float64]:
    x = features.astype(np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9), np.float64)


def _coordinates(spread: Spread, features: Vectors) -> NDArray[np.float64]:
    offset = _directions(features) - spread.centre
    return np.asarray(offset @ spread.basis.T.astype(np.float64), np.float64)
