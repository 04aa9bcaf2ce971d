"""The most foreign part of an image: each place of the last feature maps against places of training images.

Averaging over a whole field hides one foreign cell among a hundred red ones; a place is about as
large as a cell. The distance is the mean over the share of places that lie farthest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Distances
from cloud_worker.foreignness.spread import Bank, Vectors, measure_spread

FARTHEST_SHARE = 0.2
MOST_KEPT = 3000


@dataclass(frozen=True, slots=True)
class Patches(Bank):
    """M training places in D directions."""

    kind: ClassVar[str] = "patches"

    def distances(self, seen: Outputs) -> Distances:
        """One per tile."""
        places = places_of(seen.maps)
        count, each, channels = places.shape
        gaps = self.gaps(places.reshape(-1, channels), 1)
        farthest = max(1, round(FARTHEST_SHARE * each))
        ranked = np.sort(gaps.reshape(count, each), axis=1)[:, each - farthest :]
        distances: Distances = ranked.mean(axis=1)
        return distances


def places_of(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """N,C,h,w maps -> N,h*w,C."""
    count, channels, height, width = maps.shape
    return maps.reshape(count, channels, height * width).transpose(0, 2, 1)


def fit_patches(places: Vectors, dims: int, seed: int = 0) -> Patches:
    """Fit on P,C places of training images."""
    spread = measure_spread(places, dims)
    kept = np.random.default_rng(seed).permutation(len(places))[:MOST_KEPT]
    return Patches(spread, spread.whitened(places[np.sort(kept)]).astype(np.float32))
