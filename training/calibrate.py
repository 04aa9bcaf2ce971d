"""Fitting what turns logits into a decision, on a part of the data that was never trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Calibration, Meaning, Thresholds
from training.metrics import (
    Numbers,
    Probabilities,
    expected_calibration_error,
    negative_log_likelihood,
    softmax,
)
from training.recipe import CalibrationTargets

HIGHEST_THRESHOLD = 0.5
LEAST_THRESHOLD = 0.001


def fit_temperature(logits: NDArray[np.floating], labels: Numbers, fitted_on: str) -> Calibration:
    """The temperature with the least negative log likelihood, by golden section on its logarithm."""

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(softmax(logits, float(np.exp(log_temperature))), labels)

    low, high, ratio = np.log(0.05), np.log(20.0), (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    temperature = float(np.exp((low + high) / 2))
    return Calibration(
        temperature=temperature,
        ece_before=expected_calibration_error(softmax(logits), labels),
        ece_after=expected_calibration_error(softmax(logits, temperature), labels),
        fitted_on=fitted_on,
    )


def fit_thresholds(
    p: Probabilities,
    labels: Numbers,
    meanings: Sequence[Meaning],
    targets: CalibrationTargets,
    fitted_on: str,
    *,
    groups: Sequence[str] | None = None,
) -> Thresholds:
    """t_acute, t_chronic and the abstention threshold, in the order in which the rules apply.

    Sensitivity is of slides: one counts as found where any of its fields is, for a field that is
    suspected stays visible whatever the slide's sum. `groups` names each image's slide; without it
    every image is one of its own.
    """
    slides = np.unique(groups, return_inverse=True)[1] if groups else np.arange(len(labels))
    mean = np.array([str(m) for m in meanings])
    p_acute = p[:, mean == Meaning.ACUTE].sum(axis=1)
    p_chronic = p[:, mean == Meaning.CHRONIC].sum(axis=1)
    truth = mean[labels]
    acute, chronic = truth == Meaning.ACUTE, truth == Meaning.CHRONIC
    found_acute = _highest_per_slide(p_acute[acute], slides[acute])
    found_chronic = _highest_per_slide(p_chronic[chronic], slides[chronic])
    t_acute = _largest_threshold(found_acute, targets.acute_sensitivity)
    t_chronic = _largest_threshold(found_chronic, targets.chronic_sensitivity)
    left = (p_acute < t_acute) & (p_chronic < t_chronic)
    wrong = p.argmax(axis=1) != labels
    return Thresholds(
        t_acute=t_acute,
        t_chronic=t_chronic,
        abstention=_abstention(p.max(axis=1)[left], wrong[left], targets.abstention_risk),
        fitted_on=fitted_on,
    )


def _highest_per_slide(scores: NDArray[np.float64], slides: Numbers) -> NDArray[np.float64]:
    highest = np.full(int(slides.max()) + 1 if slides.size else 0, -np.inf)
    np.maximum.at(highest, slides, scores)
    return np.asarray(highest[np.isfinite(highest)], np.float64)


def _largest_threshold(scores: NDArray[np.float64], sensitivity: float) -> float:
    """The largest threshold, at most 0.5, that this share of the scores reaches."""
    if scores.size == 0:
        return HIGHEST_THRESHOLD
    missed = int(np.floor((1 - sensitivity) * scores.size + 1e-9))
    # The decision compares rounded numbers; rounding down keeps the promise.
    threshold = np.floor(np.sort(scores)[missed] * 1e4) / 1e4
    return float(np.clip(threshold, LEAST_THRESHOLD, HIGHEST_THRESHOLD))


def _abstention(confidence: NDArray[np.float64], wrong: NDArray[np.bool_], risk: float) -> float:
    """The smallest threshold above which at most this share of the answers is wrong; at least 0.5."""
    order = np.argsort(-confidence)
    errors = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    allowed = np.flatnonzero(errors <= risk)
    if allowed.size == 0:
        return 0.95 if len(order) else 0.5
    return float(np.clip(np.floor(confidence[order[allowed[-1]]] * 1e4) / 1e4, 0.5, 0.99))
