"""Figures against values that are known from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import (
    balanced_accuracy,
    balanced_accuracy_interval,
    confusion,
    expected_calibration_error,
    macro_f1,
    softmax,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"), [(85, 89, 0.890, 0.982), (73, 74, 0.927, 0.998)]
)
def test_wilson_agrees_with_published_intervals(
    right: int, total: int, low: float, high: float
) -> None:
    interval = wilson(right, total)
    assert interval.low == pytest.approx(low, abs=5e-4)
    assert interval.high == pytest.approx(high, abs=5e-4)


def test_balanced_accuracy_and_f1_of_a_small_table() -> None:
    table = confusion(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0]), 2)
    assert table.tolist() == [[3, 1], [1, 1]]
    assert balanced_accuracy(table) == pytest.approx(0.625)
    assert macro_f1(table) == pytest.approx((6 / 8 + 2 / 4) / 2)


def test_a_class_that_does_not_occur_is_left_out() -> None:
    assert balanced_accuracy(confusion(np.array([0, 2]), np.array([0, 0]), 3)) == 0.5


def test_the_bootstrap_over_groups_is_wider_than_over_images() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 20)
    labels = groups % 2
    answers = np.where(rng.random(20)[groups] < 0.8, labels, 1 - labels)
    by_group = balanced_accuracy_interval(labels, answers, groups, 2)
    by_image = balanced_accuracy_interval(labels, answers, np.arange(400), 2)
    assert by_group.value == by_image.value
    assert by_group.high - by_group.low > 2 * (by_image.high - by_image.low)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    p = np.tile([0.9, 0.1], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(p, labels) == pytest.approx(0.3)


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]
