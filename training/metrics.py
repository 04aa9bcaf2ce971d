"""Figures of a classifier with their intervals: pure arithmetic on labels and probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Numbers = NDArray[np.int64]

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, total: int) -> Interval:
    """A share with Wilson's 95 % interval."""
    if total == 0:
        return Interval(float("nan"), 0.0, 1.0)
    share, z2 = right / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = _Z95 * sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return Interval(share, max(0.0, centre - spread), min(1.0, centre + spread))


def confusion(labels: Numbers, answers: Numbers, classes: int) -> NDArray[np.int64]:
    """Counts with true classes as rows and answers as columns."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, answers), 1)
    return table


def recalls(table: NDArray[np.int64]) -> list[Interval]:
    """Recall per class."""
    return [wilson(int(row[i]), int(row.sum())) for i, row in enumerate(table)]


def balanced_accuracy(table: NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur."""
    found = table.sum(axis=1) > 0
    return float((table.diagonal()[found] / table.sum(axis=1)[found]).mean())


def macro_f1(table: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur."""
    hits = table.diagonal()
    total = table.sum(axis=0) + table.sum(axis=1)
    # An answer that no image has as its class (a refusal) is no class of its own.
    found = table.sum(axis=1) > 0
    return float((2 * hits[found] / total[found]).mean())


def balanced_accuracy_interval(
    labels: Numbers, answers: Numbers, groups: Numbers, classes: int, *, draws: int = 1000
) -> Interval:
    """Balanced accuracy with a 95 % bootstrap interval over whole groups."""
    names, members = np.unique(groups, return_inverse=True)
    tables = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(tables, (members, labels, answers), 1)
    rng = np.random.default_rng(3)
    values = [
        balanced_accuracy(tables[rng.integers(len(names), size=len(names))].sum(axis=0))
        for _ in range(draws)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(balanced_accuracy(tables.sum(axis=0)), float(low), float(high))


def expected_calibration_error(p: Probabilities, labels: Numbers, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally wide bins of confidence."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[index == b].mean() - right[index == b].mean()) * (index == b).mean()
        for b in np.unique(index)
    ]
    return float(sum(gaps))


def negative_log_likelihood(p: Probabilities, labels: Numbers) -> float:
    """Mean of -log of the true class's probability."""
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-12)).mean())


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> Probabilities:
    """Rows of logits divided by the temperature, as probabilities."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)
