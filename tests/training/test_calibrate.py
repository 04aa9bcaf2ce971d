"""Temperature and thresholds do what the card promises on the images they were fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.models.card import Meaning
from training.calibrate import fit_temperature, fit_thresholds
from training.metrics import softmax
from training.recipe import CalibrationTargets

MEANINGS = (Meaning.ACUTE, Meaning.ACUTE, Meaning.CHRONIC, Meaning.NO_LEUKEMIA_PATTERN)


def noisy(seed: int, count: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    logits = rng.normal(0, 1, (count, 4)) + 2.0 * np.eye(4)[labels]
    return logits * scale, labels


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    logits, labels = noisy(0, 4000, 1.0)
    plain = fit_temperature(logits, labels, "").temperature
    fitted = fit_temperature(logits * 3, labels, "x")
    assert fitted.temperature == pytest.approx(3 * plain, rel=0.02)
    assert fitted.ece_before is not None
    assert fitted.ece_after is not None
    assert fitted.ece_after < fitted.ece_before


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(40, 400), st.floats(0.3, 3))
def test_t_acute_reaches_its_sensitivity_and_stays_at_or_below_one_half(
    seed: int, count: int, scale: float
) -> None:
    logits, labels = noisy(seed, count, scale)
    p = softmax(logits)
    limits = fit_thresholds(p, labels, MEANINGS, CalibrationTargets(), "x")
    acute = p[:, :2].sum(axis=1)[labels < 2]
    assert limits.t_acute <= 0.5
    if limits.t_acute > 0.001:
        assert (np.round(acute, 4) >= limits.t_acute).mean() >= 0.99 - 1e-9
    if limits.t_acute < 0.4999:
        assert (acute >= limits.t_acute + 2e-4).mean() < 0.99
    assert 0.5 <= limits.abstention <= 0.99


def test_a_slide_is_found_by_its_surest_field() -> None:
    meanings = (Meaning.ACUTE, Meaning.NO_LEUKEMIA_PATTERN)
    acute = np.array([0.02, 0.41, 0.30, 0.05, 0.44, 0.10])
    p, labels = np.stack([acute, 1 - acute], axis=1), np.zeros(6, np.int64)
    targets = CalibrationTargets(acute_sensitivity=1.0)
    by_field = fit_thresholds(p, labels, meanings, targets, "x")
    slides = ["a", "a", "b", "b", "c", "c"]
    by_slide = fit_thresholds(p, labels, meanings, targets, "x", groups=slides)
    assert by_field.t_acute == pytest.approx(0.02)
    assert by_slide.t_acute == pytest.approx(0.30)


def test_without_acute_classes_the_highest_threshold_stands() -> None:
    p, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    meanings = (Meaning.CHRONIC, Meaning.NO_LEUKEMIA_PATTERN)
    assert fit_thresholds(p, labels, meanings, CalibrationTargets(), "x").t_acute == 0.5
