"""How training features spread: a centre, the directions of largest variance, and the scale of each; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_VARIANCE = 1e-6

Vectors = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Spread:
    """C channels, D directions."""

    centre: NDArray[np.float32]
    """C."""
    basis: NDArray[np.float32]
    """D,C with orthonormal rows, the largest variance first."""
    variances: NDArray[np.float32]
    """D."""

    def whitened(self, vectors: Vectors) -> NDArray[np.float64]:
        """N,C -> N,D coordinates in which training vectors have a variance of one each."""
        offset = vectors.astype(np.float64) - self.centre
        scaled = (offset @ self.basis.T.astype(np.float64)) / np.sqrt(self.variances)
        return np.asarray(scaled, np.float64)

    def residual(self, vectors: Vectors) -> NDArray[np.float64]:
        """N: length of what lies outside the D directions."""
        offset = vectors.astype(np.float64) - self.centre
        inside = offset @ self.basis.T.astype(np.float64)
        left = (offset**2).sum(axis=1) - (inside**2).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(left, 0.0)), np.float64)


@dataclass(frozen=True, slots=True)
class Bank:
    """M training vectors in the D directions of their spread: what a nearest-neighbour score holds."""

    spread: Spread
    bank: NDArray[np.float32]
    """M,D, whitened."""

    @property
    def dims(self) -> int:
        """D."""
        return int(self.bank.shape[1])

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """By the names that a bundle's card and safetensors file use."""
        return {
            "ood.centre": self.spread.centre,
            "ood.basis": self.spread.basis,
            "ood.variances": self.spread.variances,
            "ood.bank": self.bank,
        }

    def gaps(self, vectors: Vectors, k: int) -> NDArray[np.float64]:
        """N,C -> N: distance to the k-th nearest of the M."""
        return nearest(self.spread.whitened(vectors), self.bank, k)


def measure_spread(vectors: Vectors, dims: int) -> Spread:
    """The spread of N,C vectors along at most `dims` directions."""
    x = vectors.astype(np.float64)
    centre = x.mean(axis=0)
    covariance = (x - centre).T @ (x - centre) / max(1, len(x) - 1)
    variances, directions = np.linalg.eigh(covariance)
    kept = np.argsort(-variances)[: min(dims, len(x) - 1, x.shape[1])]
    return Spread(
        centre=centre.astype(np.float32),
        basis=directions[:, kept].T.astype(np.float32).copy(),
        variances=np.maximum(variances[kept], SMALLEST_VARIANCE).astype(np.float32),
    )


def nearest(
    vectors: NDArray[np.float64], bank: NDArray[np.floating], k: int
) -> NDArray[np.float64]:
    """N: distance to the k-th nearest of the bank's M,D vectors."""
    own = bank.astype(np.float64)
    squared = (vectors**2).sum(axis=1)[:, None] + (own**2).sum(axis=1) - 2 * vectors @ own.T
    k = min(k, len(own))
    kth = np.partition(np.maximum(squared, 0.0), k - 1, axis=1)[:, k - 1]
    distances: NDArray[np.float64] = np.sqrt(kth)
    return distances


def spread_out(vectors: NDArray[np.float64], most: int, seed: int = 0) -> NDArray[np.intp]:
    """Indices of at most `most` vectors that cover the rest (greedy: each the farthest so far)."""
    if len(vectors) <= most:
        return np.arange(len(vectors))
    chosen = [int(np.random.default_rng(seed).integers(len(vectors)))]
    squares = (vectors**2).sum(axis=1)
    gap = np.full(len(vectors), np.inf)
    for _ in range(most - 1):
        last = chosen[-1]
        gap = np.minimum(gap, squares + squares[last] - 2 * vectors @ vectors[last])
        chosen.append(int(gap.argmax()))
    return np.array(sorted(chosen))
