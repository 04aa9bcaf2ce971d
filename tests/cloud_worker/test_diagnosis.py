"""Every branch and boundary of the decision, one row each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.diagnosis import TECHNICAL, Decision, Evidence, calibrated, decide
from cloud_worker.models.card import ClassCard, Meaning, Thresholds
from cloud_worker.refusal import Refusal
from wire_protocol.json_messages import Reason, Urgency

A, C, N = Meaning.ACUTE, Meaning.CHRONIC, Meaning.NO_LEUKEMIA_PATTERN
CLASSES = tuple(
    ClassCard(name=k.upper(), key=k, meaning=m, display=f"class {k}")
    for k, m in (("all", A), ("aml", A), ("cll", C), ("cml", C), ("none", N))
)
LIMITS = Thresholds(t_acute=0.4, t_chronic=0.5, abstention=0.6)
ACUTE, CHRONIC = Urgency.SUSPECTED_ACUTE, Urgency.SUSPECTED_CHRONIC
UNSURE, NO_PATTERN = Urgency.CANNOT_SAY, Urgency.NO_LEUKEMIA_PATTERN


@pytest.mark.parametrize(
    ("probabilities", "rule", "result", "urgency"),
    [
        # 3: at the threshold, whatever class is largest
        ((0.40, 0.00, 0.00, 0.00, 0.60), 3, "all", ACUTE),
        ((0.3999, 0.00, 0.00, 0.00, 0.6001), 6, "none", NO_PATTERN),
        ((0.20, 0.20, 0.00, 0.00, 0.60), 3, "acute_uncertain", ACUTE),
        ((0.40, 0.00, 0.60, 0.00, 0.00), 3, "all", ACUTE),
        ((0.02, 0.45, 0.53, 0.00, 0.00), 3, "aml", ACUTE),
        # 3: lineage at exactly 80 % of p_acute, and just below
        ((0.80, 0.20, 0.00, 0.00, 0.00), 3, "all", ACUTE),
        ((0.20, 0.80, 0.00, 0.00, 0.00), 3, "aml", ACUTE),
        ((0.7999, 0.2001, 0.00, 0.00, 0.00), 3, "acute_uncertain", ACUTE),
        ((0.40, 0.10, 0.00, 0.00, 0.50), 3, "all", ACUTE),
        ((0.39, 0.11, 0.00, 0.00, 0.50), 3, "acute_uncertain", ACUTE),
        # decided on what is shown: 0.39996 reads as 0.4
        ((0.39996, 0.00, 0.00, 0.00, 0.60004), 3, "all", ACUTE),
        ((0.39994, 0.00, 0.00, 0.00, 0.60006), 6, "none", NO_PATTERN),
        # 4: at the threshold, below it, and the larger chronic class
        ((0.00, 0.00, 0.50, 0.00, 0.50), 4, "cll", CHRONIC),
        ((0.00, 0.00, 0.20, 0.30, 0.50), 4, "cml", CHRONIC),
        ((0.39, 0.00, 0.11, 0.50, 0.00), 4, "cml", CHRONIC),
        ((0.00, 0.00, 0.4999, 0.00, 0.5001), 5, "cannot_say", UNSURE),
        # 5: just below abstention, and 6: at it
        ((0.10, 0.10, 0.10, 0.10, 0.5999), 5, "cannot_say", UNSURE),
        ((0.10, 0.10, 0.10, 0.10, 0.60), 6, "none", NO_PATTERN),
        ((0.20, 0.19, 0.21, 0.20, 0.20), 5, "cannot_say", UNSURE),
        ((0.00, 0.00, 0.00, 0.00, 1.00), 6, "none", NO_PATTERN),
    ],
)
def test_probabilities_decide(
    probabilities: tuple[float, ...], rule: int, result: str, urgency: Urgency
) -> None:
    decision = decide(Evidence(probabilities=probabilities), CLASSES, LIMITS)
    assert (decision.rule, decision.result, decision.urgency) == (rule, result, urgency)
    assert decision.reason == (Reason.LOW_CONFIDENCE if rule == 5 else None)
    assert decision.probabilities == tuple(round(p, 4) for p in probabilities)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_decides_before_anything_else(reason: Reason) -> None:
    seen = Evidence(
        probabilities=(1.0, 0.0, 0.0, 0.0, 0.0), refusal=Refusal(reason, "1, 2 needed. Do.")
    )
    decision = decide(seen, CLASSES, LIMITS)
    technical = reason in TECHNICAL
    assert decision.rule == (1 if technical else 2)
    assert decision.urgency is (Urgency.RETAKE if technical else UNSURE)
    assert decision.result == "cannot_say" and decision.reason is reason
    assert decision.probabilities is None and decision.p_acute is None


def test_the_named_reasons_fall_under_the_rules_that_name_them() -> None:
    assert {Reason.FOCUS, Reason.EXPOSURE, Reason.EMPTY_FIELD, Reason.DECODE} <= TECHNICAL
    assert not TECHNICAL & {
        Reason.OUT_OF_DISTRIBUTION,
        Reason.MAGNIFICATION,
        Reason.TOO_FEW_WHITE_CELLS,
        Reason.OUTSIDE_SCOPE,
        Reason.LOW_CONFIDENCE,
        Reason.FIELDS_DISAGREE,
    }


SURE = (0.0, 0.99, 0.0, 0.0, 0.01)


@pytest.mark.parametrize(
    ("distance", "foreign"), [(1.9, False), (2.0, False), (2.0001, True), (float("nan"), True)]
)
def test_a_distance_above_the_threshold_is_out_of_distribution(
    distance: float, foreign: bool
) -> None:
    seen = Evidence(probabilities=SURE, ood_distance=distance, ood_threshold=2.0)
    decision = decide(seen, CLASSES, LIMITS)
    if foreign:
        assert (decision.rule, decision.reason) == (2, Reason.OUT_OF_DISTRIBUTION)
        assert decision.probabilities is None and "2 allowed" in decision.words
        assert f"training images {2:.3g}," not in decision.words
    else:
        assert decision.result == "aml"


@pytest.mark.parametrize(
    ("counted", "needed", "too_few"),
    [(49, 50, True), (50, 50, False), (None, 50, False), (0, 0, False)],
)
def test_too_few_white_cells_counts_only_where_they_were_counted(
    counted: int | None, needed: int, too_few: bool
) -> None:
    seen = Evidence(probabilities=SURE, white_cells=counted, white_cells_needed=needed)
    decision = decide(seen, CLASSES, LIMITS)
    assert (decision.reason is Reason.TOO_FEW_WHITE_CELLS) == too_few
    if too_few:
        assert decision.words == "49 white cells, at least 50 needed. Capture more fields."


def test_distance_is_judged_before_the_count() -> None:
    seen = Evidence(SURE, None, 3.0, 2.0, 99.0, white_cells=1, white_cells_needed=50)
    assert decide(seen, CLASSES, LIMITS).reason is Reason.OUT_OF_DISTRIBUTION


def test_nobody_is_told_no_pattern_over_a_larger_leukemia_class() -> None:
    low = Thresholds(t_acute=0.5, t_chronic=0.9, abstention=0.3)
    for probabilities in ((0.45, 0.0, 0.15, 0.0, 0.40), (0.0, 0.0, 0.6, 0.0, 0.4)):
        decision = decide(Evidence(probabilities), CLASSES, low)
        assert (decision.rule, decision.reason) == (5, Reason.LOW_CONFIDENCE)


def test_a_bundle_without_acute_or_chronic_classes_is_decided_too() -> None:
    acute_free = (CLASSES[2], CLASSES[4])
    assert decide(Evidence((0.9, 0.1)), acute_free, LIMITS).urgency is CHRONIC
    chronic_free = (CLASSES[0], CLASSES[4])
    assert decide(Evidence((0.1, 0.9)), chronic_free, LIMITS).urgency is NO_PATTERN


def test_no_probabilities_and_no_refusal_is_a_bug() -> None:
    with pytest.raises(ValueError, match="5 probabilities or a refusal"):
        decide(Evidence(), CLASSES, LIMITS)
    with pytest.raises(ValueError, match="5 probabilities"):
        decide(Evidence((0.5, 0.5)), CLASSES, LIMITS)


@given(
    st.lists(st.floats(-30, 30), min_size=5, max_size=5),
    st.floats(0.1, 0.5),
    st.floats(0.1, 1.0),
    st.floats(0, 1),
)
def test_any_probabilities_keep_the_promises(
    logits: list[float], t_acute: float, t_chronic: float, abstention: float
) -> None:
    limits = Thresholds(t_acute=t_acute, t_chronic=t_chronic, abstention=abstention)
    decision: Decision = decide(Evidence(calibrated(np.array(logits), 1.0)), CLASSES, limits)
    assert decision.p_acute is not None and decision.probabilities is not None
    assert (decision.urgency is ACUTE) == (decision.p_acute >= t_acute)
    if decision.urgency is NO_PATTERN:
        assert decision.result == "none"
        assert decision.probabilities[4] == max(decision.probabilities) >= abstention


def test_temperature_softens_and_keeps_the_order() -> None:
    logits = np.array([2.0, 0.0, -1.0])
    sharp, soft = calibrated(logits, 1.0), calibrated(logits, 3.0)
    assert sum(sharp) == pytest.approx(1) and sum(soft) == pytest.approx(1)
    assert sharp[0] > soft[0] > soft[1] > soft[2]
    assert calibrated(np.array([1e4, 0.0]), 1.0) == (1.0, 0.0)
