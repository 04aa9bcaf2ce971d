"""Curves and class figures against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from training.evaluation.answers import Answered, whole_figures
from training.evaluation.classwise import class_figures, macro_f1_interval
from training.evaluation.curves import (
    auroc,
    brier,
    precision_recall,
    reliability,
    risk_coverage,
    roc,
    thinned,
)
from training.evaluation.paired import compare, mcnemar
from training.metrics import softmax


def drawn(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of three classes with ties among them, labels, and groups of about three."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, count - 3)])
    logits = np.round(rng.normal(0, 1, (count, 3)) + 1.2 * np.eye(3)[labels], 1)
    return softmax(logits), labels, rng.integers(0, count // 3, count)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_areas_and_points_agree_with_scikit_learn(seed: int) -> None:
    p, labels, _ = drawn(seed)
    scores, truth = p[:, 1], labels == 1
    curve = roc(scores, truth)
    assert curve is not None
    assert curve.area == pytest.approx(reference.roc_auc_score(truth, scores))
    alarms, hits, _ = reference.roc_curve(truth, scores, drop_intermediate=False)
    assert np.allclose(curve.x, alarms) and np.allclose(curve.y, hits)
    recalled = precision_recall(scores, truth)
    assert recalled is not None
    assert recalled.area == pytest.approx(reference.average_precision_score(truth, scores))
    assert brier(p, labels) == pytest.approx(
        reference.brier_score_loss(labels, p, scale_by_half=False)
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_class_figures_agree_with_scikit_learn(seed: int) -> None:
    p, labels, groups = drawn(seed)
    answers = p.argmax(axis=1)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        labels, answers, labels=[0, 1, 2], zero_division=0
    )
    figures = class_figures(labels, answers, groups, 3)
    for number, one in enumerate(figures):
        assert one.recall.value == pytest.approx(recall[number])
        assert one.f1.value == pytest.approx(f1[number])
        if (answers == number).any():
            assert one.precision.value == pytest.approx(precision[number])
        against_rest = reference.accuracy_score(labels == number, answers == number)
        assert one.one_vs_rest.value == pytest.approx(against_rest)
        assert one.f1.low <= one.f1.value <= one.f1.high
    assert macro_f1_interval(labels, answers, groups, 3).value == pytest.approx(f1.mean())


def test_the_four_names_of_a_whole_are_four_figures() -> None:
    p, labels, groups = drawn(3, 300)
    one = Answered(np.log(p), labels, groups, 1.0)
    found = {m.name: m.value for m in whole_figures(one)}
    answers = p.argmax(axis=1)
    assert found == {
        "overall_accuracy": pytest.approx(reference.accuracy_score(labels, answers)),
        "balanced_accuracy": pytest.approx(reference.balanced_accuracy_score(labels, answers)),
        "macro_f1": pytest.approx(reference.f1_score(labels, answers, average="macro")),
        "macro_auroc": pytest.approx(
            reference.roc_auc_score(labels, p, multi_class="ovr", average="macro")
        ),
    }


def test_a_refused_image_is_a_wrong_answer_and_no_class_of_its_own() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [np.nan, np.nan], [2.0, 0.0]])
    one = Answered(logits, np.array([0, 1, 1, 0]), np.arange(4), 1.0)
    assert one.table().tolist() == [[2, 0, 0], [0, 1, 1]]
    found = {m.name: m.value for m in whole_figures(one)}
    assert found["overall_accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((1.0 + 2 / 3) / 2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_reliability_agrees_with_scikit_learn(seed: int) -> None:
    p, labels, _ = drawn(seed)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    shares, means = calibration_curve(right, confidence, n_bins=15, strategy="uniform")
    bins = reliability(p, labels)
    assert [b.right.value for b in bins] == pytest.approx(list(shares))
    assert [b.confidence for b in bins] == pytest.approx(list(means))
    assert sum(b.images for b in bins) == len(labels)


def test_risk_falls_with_coverage_where_confidence_knows_and_stays_where_it_does_not() -> None:
    wrong = np.array([False] * 90 + [True] * 10)
    knowing = risk_coverage(np.linspace(1, 0, 100), wrong)
    assert knowing.y[-1] == pytest.approx(0.10) and knowing.x[-1] == 1.0
    assert knowing.area == pytest.approx(
        sum(max(0, k - 90) / k for k in range(1, 101)) / 100, rel=1e-9
    )
    blind = risk_coverage(np.full(100, 0.7), wrong)
    assert blind.area == pytest.approx(0.10)
    assert knowing.area < blind.area


def test_a_curve_of_one_side_only_has_no_area() -> None:
    assert roc(np.array([0.2, 0.4]), np.array([True, True])) is None
    assert auroc(np.array([0.2, 0.4]), np.array([False, False])) is None
    assert precision_recall(np.array([0.2, 0.4]), np.array([False, False])) is None


def test_thinning_keeps_the_ends_and_the_shape() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(5000) < 0.4
    curve = roc(rng.normal(0, 1, 5000) + truth, truth)
    assert curve is not None
    points = np.array(thinned(curve))
    assert len(points) <= 202
    assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(curve.area, abs=2e-3)


def test_the_exact_test_of_pairs_agrees_with_the_binomial_distribution() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)


def test_a_better_way_has_a_difference_above_zero_and_an_equal_one_around_it() -> None:
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(0, 2, 400), np.repeat(np.arange(100), 4)
    good = np.where(rng.random(400) < 0.95, labels, 1 - labels)
    poor = np.where(rng.random(400) < 0.7, labels, 1 - labels)
    found = compare(labels, good, poor, groups)
    right = (good == labels).sum() - (poor == labels).sum()
    assert found.first_only - found.second_only == right
    assert found.difference.low > 0 and found.p_value < 1e-6
    same = compare(labels, good, good, groups)
    assert same.difference.value == same.difference.low == same.difference.high == 0
