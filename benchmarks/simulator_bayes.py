"""How often a reader who names every white cell without error can name the class: the Bayes limit.

Cell types are the only evidence and each patient's shares are unknown; a model that does better
has found something else in the image, which is a leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import lgamma

import numpy as np

from edge_device.simulator.cell_types import (
    CONCENTRATION,
    MEAN_SHARES,
    CellType,
    DiagnosisClass,
    draw_cell_types,
    draw_shares,
)


def log_evidence(kind: DiagnosisClass, types: Sequence[CellType]) -> float:
    """Logarithm of the chance of these cells, in this order, in a patient of this class."""
    counts = Counter(types)
    shares = MEAN_SHARES[kind]
    if any(cell_type not in shares for cell_type in counts):
        return -np.inf
    total = CONCENTRATION * sum(shares.values())
    found = lgamma(total) - lgamma(total + len(types))
    for cell_type, count in counts.items():
        weight = CONCENTRATION * shares[cell_type]
        found += lgamma(weight + count) - lgamma(weight)
    return found


def most_likely(types: Sequence[CellType]) -> DiagnosisClass:
    """The class that these cells speak for."""
    return max(DiagnosisClass, key=lambda kind: log_evidence(kind, types))


def reader_accuracy(cells: tuple[int, int], fields: int, seed: int = 0) -> float:
    """Balanced accuracy of the perfect reader on fields of so many white cells."""
    rng = np.random.default_rng([17, seed])
    right = 0
    for kind in DiagnosisClass:
        for _ in range(fields):
            count = int(rng.integers(cells[0], cells[1] + 1))
            right += most_likely(draw_cell_types(draw_shares(kind, rng), count, rng)) is kind
    return right / (fields * len(DiagnosisClass))
