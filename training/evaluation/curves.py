"""Curves of a classifier as points and areas: ROC, precision-recall, risk-coverage, reliability; pure.

Equal scores are one step of a curve, so that no order among them can flatter it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import Interval, Numbers, Probabilities, wilson

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 15
MOST_POINTS = 200
"""Points of a curve that are kept: more cannot be seen."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in order, and the area that belongs to the curve."""

    x: Values
    y: Values
    area: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about one confidence."""

    low: float
    high: float
    images: int
    confidence: float
    """Their mean."""
    right: Interval


def roc(scores: Values, truth: Flags) -> Curve | None:
    """False-alarm share against sensitivity from (0, 0) to (1, 1); None where a side is empty."""
    hits, alarms = _steps(scores, truth)
    if hits[-1] == 0 or alarms[-1] == 0:
        return None
    x = np.concatenate([[0.0], alarms / alarms[-1]])
    y = np.concatenate([[0.0], hits / hits[-1]])
    return Curve(x, y, float(np.trapezoid(y, x)))


def auroc(scores: Values, truth: Flags) -> float | None:
    """The area under the ROC curve: how often one of the class scores above one of the rest."""
    curve = roc(scores, truth)
    return None if curve is None else curve.area


def precision_recall(scores: Values, truth: Flags) -> Curve | None:
    """Recall against precision; the area is the sum over steps (average precision).

    None where the class does not occur.
    """
    hits, alarms = _steps(scores, truth)
    if hits[-1] == 0:
        return None
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    area = float((np.diff(np.concatenate([[0.0], recall])) * precision).sum())
    return Curve(np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision]), area)


def risk_coverage(confidence: Values, wrong: Flags) -> Curve:
    """Share of images answered, the surest first, against the share of these answers that is wrong.

    The area (AURC) is the mean risk over all coverages; images of one confidence come together,
    each with the mean error of them all.
    """
    order = np.argsort(-confidence, kind="stable")
    values, first, counts = np.unique(-confidence[order], return_index=True, return_counts=True)
    del values
    errors = np.add.reduceat(wrong[order].astype(np.float64), first)
    spread = np.repeat(errors / counts, counts)
    risks = np.cumsum(spread) / np.arange(1, len(wrong) + 1)
    ends = np.cumsum(counts)
    return Curve(ends / len(wrong), risks[ends - 1], float(risks.mean()))


def reliability(p: Probabilities, labels: Numbers, bins: int = BINS) -> tuple[Bin, ...]:
    """Answers by confidence in equally wide bins; empty ones are left out."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    # On an edge a confidence belongs to the bin below it, as scikit-learn has it.
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    found = []
    for number in np.unique(index):
        own = index == number
        share = wilson(int(right[own].sum()), int(own.sum()))
        middle = float(confidence[own].mean())
        found.append(Bin(number / bins, (number + 1) / bins, int(own.sum()), middle, share))
    return tuple(found)


def brier(p: Probabilities, labels: Numbers) -> float:
    """Mean squared distance from the true class, over all classes: 0 at best, 2 at worst."""
    truth = np.eye(p.shape[1])[labels]
    return float(((p - truth) ** 2).sum(axis=1).mean())


def thinned(curve: Curve, most: int = MOST_POINTS) -> tuple[tuple[float, float], ...]:
    """At most so many points, evenly along the curve, the ends among them; the area is untouched."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(curve.x), np.diff(curve.y)))])
    wanted = np.linspace(0.0, length[-1], most)
    kept = np.unique(np.searchsorted(length, wanted, side="left").clip(0, len(length) - 1))
    kept = np.union1d(kept, [0, len(length) - 1])
    return tuple((round(float(curve.x[i]), 5), round(float(curve.y[i]), 5)) for i in kept)


def _steps(scores: Values, truth: Flags) -> tuple[Values, Values]:
    """Hits and false alarms at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(-scores[order], append=np.inf))
    hits = np.cumsum(truth[order])[last]
    return hits.astype(np.float64), (last + 1 - hits).astype(np.float64)
