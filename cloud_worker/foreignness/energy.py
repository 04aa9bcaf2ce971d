"""Energy of the logits (Liu et al. 2020): high where no class speaks up. It has nothing to fit.

It knows the head alone: what a network is sure of by colour, energy takes as its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Distances, Tensors

CEILING = 50.0
"""Larger than any log-sum of logits, so that distances stay above 0."""


@dataclass(frozen=True, slots=True)
class Energy:
    """The ceiling less the log of the summed exponentials."""

    kind: ClassVar[str] = "energy"

    @property
    def dims(self) -> int:
        """It uses no direction."""
        return 0

    def tensors(self) -> Tensors:
        """None."""
        return {}

    def distances(self, seen: Outputs) -> Distances:
        """One per tile."""
        logits = seen.logits.astype(np.float64)
        highest = logits.max(axis=1)
        summed = np.exp(logits - highest[:, None]).sum(axis=1)
        distances: Distances = np.maximum(CEILING - highest - np.log(summed), 1e-6)
        return distances
