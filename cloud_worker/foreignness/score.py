"""What a foreignness score is, and the percentiles by which its distances are read; fits nothing.

A tile is scored by itself and a field by the area-weighted mean of its tiles' distances, because
averaged features would lie nearer to the centres than any single training image does. A score sees
what the network says of pixels and nothing else: no file format, no image size, no JPEG table.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engines.engine import Outputs

Distances = NDArray[np.float64]
Tensors = dict[str, NDArray[np.float32]]


class Foreignness(Protocol):
    """A fitted score; what it was fitted on and where its threshold lies is the card's to say."""

    kind: ClassVar[str]

    @property
    def dims(self) -> int:
        """Principal directions it uses; 0 where it uses none."""

    def distances(self, seen: Outputs) -> Distances:
        """One distance per tile: above 0, larger where the tile is more foreign."""

    def tensors(self) -> Tensors:
        """By the names that a bundle's card and safetensors file use: `ood.<part>`."""


def percentile_table(distances: NDArray[np.floating]) -> tuple[float, ...]:
    """The distances at percentiles 0, 1, ..., 100: what card.ood.percentiles holds."""
    return tuple(float(d) for d in np.percentile(distances, np.arange(101)))


def percentile_of(distance: float, table: tuple[float, ...]) -> float:
    """Share (0 to 100) of calibration images that lie nearer than `distance`."""
    return float(np.interp(distance, table, np.arange(len(table))))
