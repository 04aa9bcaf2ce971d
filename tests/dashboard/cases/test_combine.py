"""The case's result from its fields: every rule and every boundary, worked out by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.cases.combine import CaseResult, FieldResult, Limits, combine, log_posterior
from dashboard.cases.keys import CaseKey, parse_case_key
from dashboard.cases.settings import CaseSettings
from dashboard.cases.words import case_text
from wire_protocol.json_messages import Urgency

LIMITS = Limits(("all", "aml"), ("cll", "cml"), t_acute=0.4, t_chronic=0.5, abstention=0.6)
KEYS = ("all", "aml", "cll", "cml", "healthy")
SETTINGS = CaseSettings()


def field(number: int = 1, *, urgency: Urgency | None = None, **given: Any) -> FieldResult:
    """A field whose first class is `aml`, unless told."""
    p = given.pop("p", {"all": 0.02, "aml": 0.92, "cll": 0.02, "cml": 0.02, "healthy": 0.02})
    acute = p is not None and p.get("all", 0) + p.get("aml", 0) >= LIMITS.t_acute
    guessed = Urgency.SUSPECTED_ACUTE if acute else Urgency.NO_LEUKEMIA_PATTERN
    values: dict[str, Any] = {
        "image_id": f"{number:032x}", "urgency": urgency or guessed, "result": "aml", "reason": "",
        "bundle": "b@1", "probabilities": p, "limits": LIMITS, "white_cells": 60,
    }  # fmt: skip
    return FieldResult(**(values | given))


def of(key: str, p: float) -> dict[str, float]:
    """`p` on one class and the rest in equal shares."""
    return {k: p if k == key else (1 - p) / (len(KEYS) - 1) for k in KEYS}


def said(result: CaseResult) -> tuple[str, str, str]:
    return result.result, result.urgency.value, result.reason


TOO_FEW = ("cannot_say", "cannot_say", "too_few_white_cells")
DISAGREE = ("cannot_say", "cannot_say", "fields_disagree")
LOW = ("cannot_say", "cannot_say", "low_confidence")
NONE = ("healthy", "no_leukemia_pattern", "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([field(p=of("aml", 0.9))], ("aml", "suspected_acute", "")),
        ([field(p={"all": 0.3, "aml": 0.3, "cll": 0.1, "cml": 0.1, "healthy": 0.2})] * 2,
         ("acute_uncertain", "suspected_acute", "")),
        ([field(p=of("cll", 0.9))] * 2, ("cll", "suspected_chronic", "")),
        ([field(p=of("healthy", 0.9))] * 2, NONE),
        ([field(p=of("healthy", 0.3))], LOW),
        # A mean of equals gains confidence with fields: one field of 0.55 is not enough, four are.
        ([field(p=of("healthy", 0.55), urgency=Urgency.CANNOT_SAY)], LOW),
        ([field(p=of("healthy", 0.55), urgency=Urgency.CANNOT_SAY)] * 4, NONE),
        # Too few white cells: counted over all fields, unless two of them suspect acute leukemia.
        ([field(p=of("aml", 0.9), white_cells=49)], TOO_FEW),
        ([field(p=of("aml", 0.9), white_cells=50)], ("aml", "suspected_acute", "")),
        ([field(p=of("aml", 0.9), white_cells=3)] * 2, ("aml", "suspected_acute", "")),
        ([field(p=of("healthy", 0.9), white_cells=24)] * 2, TOO_FEW),
        ([field(p=of("healthy", 0.9), white_cells=25)] * 2, NONE),
        ([field(p=of("healthy", 0.9), white_cells=None)], NONE),
        ([field(p=of("healthy", 0.9), white_cells=None), field(p=of("healthy", 0.9), white_cells=1)],
         NONE),
        # Two acute fields that the sum outvotes: nobody is told "no leukemia pattern".
        ([*[field(p=of("aml", 0.5))] * 2, *[field(p=of("healthy", 0.97))] * 6], DISAGREE),
        ([field(p=of("aml", 0.5)), *[field(p=of("healthy", 0.97))] * 6], NONE),
        # Technical failures do not speak where another field does.
        ([field(p=None, urgency=Urgency.RETAKE, reason="focus", result="cannot_say")],
         ("cannot_say", "retake", "focus")),
        ([field(p=None, urgency=Urgency.RETAKE, reason="focus"), field(p=of("healthy", 0.9))], NONE),
        # Nothing can be summed: the most urgent field speaks.
        ([field(p=of("healthy", 0.9), limits=None, result="healthy"),
          field(p=of("aml", 0.9), limits=None)], ("aml", "suspected_acute", "")),
        ([field(p=None, urgency=Urgency.CANNOT_SAY, result="cannot_say",
                reason="out_of_distribution")],
         ("cannot_say", "cannot_say", "out_of_distribution")),
    ],
)  # fmt: skip
def test_each_rule_and_boundary(fields: list[FieldResult], expected: tuple[str, str, str]) -> None:
    assert said(combine(fields, SETTINGS)) == expected


def test_the_posterior_is_the_formula_of_the_design() -> None:
    """log p ~ log prior + a x sum(log p_field - log prior), by hand for two classes."""
    found = log_posterior(
        [{"x": 0.8, "y": 0.2}, {"x": 0.6, "y": 0.4}], {"x": 0.1, "y": 0.9}, field_weight=0.5
    )
    x = 0.1 * math.sqrt(0.8 / 0.1 * 0.6 / 0.1)
    y = 0.9 * math.sqrt(0.2 / 0.9 * 0.4 / 0.9)
    assert math.exp(found["x"]) == pytest.approx(x / (x + y))
    assert math.exp(found["y"]) == pytest.approx(y / (x + y))


def test_one_field_of_full_weight_and_equal_shares_is_itself() -> None:
    p = of("cll", 0.7)
    found = log_posterior([p], dict.fromkeys(KEYS, 0.2), field_weight=1.0)
    assert {k: math.exp(v) for k, v in found.items()} == pytest.approx(p)


def test_a_told_zero_is_no_proof() -> None:
    p = {"all": 0.0, "aml": 1.0, "cll": 0.0, "cml": 0.0, "healthy": 0.0}
    q = {"all": 0.0, "aml": 0.0, "cll": 0.0, "cml": 0.0, "healthy": 1.0}
    result = combine([field(p=p), field(p=q)], SETTINGS)
    assert result.running is not None and result.running["aml"] == result.running["healthy"]


def test_an_acute_field_stays_visible_whatever_the_sum_says() -> None:
    fields = [field(n, p=of("healthy", 0.97)) for n in range(6)] + [field(9, p=of("aml", 0.5))]
    result = combine(fields, SETTINGS)
    assert result.urgency is Urgency.NO_LEUKEMIA_PATTERN
    assert result.acute_fields == 1 and result.leading == f"{9:032x}"
    text = case_text(result, "C7F3K2", synthetic=True, settings=SETTINGS)
    assert "Acute leukemia is suspected in 1 of 7 fields." in text


def test_a_case_that_may_not_be_heard_has_a_running_posterior_and_no_probabilities() -> None:
    result = combine([field(p=of("aml", 0.9), white_cells=3)], SETTINGS)
    assert result.probabilities is None and result.p_acute is None
    assert result.running is not None and result.running["aml"] > 0.5


def test_fields_of_another_bundle_are_not_summed() -> None:
    ours = [field(n, p=of("healthy", 0.9)) for n in (1, 2)]
    other = field(3, p=of("aml", 0.9), bundle="old@0", urgency=Urgency.SUSPECTED_ACUTE)
    result = combine([other, *ours], SETTINGS)
    assert (result.summed, result.fields, result.acute_fields, result.bundle) == (2, 3, 1, "b@1")


def test_a_configured_prior_moves_what_little_evidence_leaves_open() -> None:
    prior = CaseSettings(
        prior={"all": 0.01, "aml": 0.01, "cll": 0.01, "cml": 0.01, "healthy": 0.96}
    )
    p = of("aml", 0.35)
    equal, skewed = combine([field(p=p)], SETTINGS), combine([field(p=p)], prior)
    assert equal.running is not None and skewed.running is not None
    assert equal.running["aml"] > skewed.running["aml"]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from((0.1, 0.5, 1.0)))
def test_the_order_of_fields_changes_nothing_and_the_posterior_is_whole(
    seed: int, count: int, weight: float
) -> None:
    draw = random.Random(seed)
    fields = []
    for number in range(count):
        powers = [draw.random() ** 4 + 1e-6 for _ in KEYS]
        p = {k: round(v / sum(powers), 4) for k, v in zip(KEYS, powers, strict=True)}
        fields.append(field(number, p=p, white_cells=draw.choice([None, 3, 30, 80])))
    config = CaseSettings(field_weight=weight)
    result = combine(fields, config)
    draw.shuffle(fields)
    assert combine(fields, config) == result
    assert result.running is not None
    assert sum(result.running.values()) == pytest.approx(1, abs=0.001)
    assert result.rank <= 4
    text = case_text(result, "C7F3K2", synthetic=draw.random() < 0.5, settings=config)
    assert len(text) <= 400 and text.endswith("Research use only.")
    for word in ("healthy", "diagnosed", "positive", "negative", "100 %"):
        assert word not in text.lower()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5))
def test_one_more_acute_field_never_lowers_p_acute(seed: int, others: int) -> None:
    draw = random.Random(seed)
    fields = [field(n, p=of(draw.choice(KEYS), 0.3 + 0.6 * draw.random())) for n in range(others)]
    before = combine(fields, SETTINGS).running if fields else None
    after = combine([*fields, field(99, p=of("aml", 0.95))], SETTINGS).running
    assert after is not None
    if before is not None:
        assert after["aml"] >= before["aml"] - 1e-4


@pytest.mark.parametrize(
    "text",
    ["", "lab", "lab.C7F3K2.x", "lab.unfiled", "la b.C7F3K2", "lab.c7f3k2", "lab.C7F3K2.", ".C7F3K2",
     "lab.unfiled." + "g" * 32, "lab/../C7F3K2", "lab.C7F3K2\n", "lab.<script>1"],
)  # fmt: skip
def test_what_is_no_case_key_is_none(text: str) -> None:
    assert parse_case_key(text) is None


def test_a_key_is_read_back() -> None:
    for key in (CaseKey("lab", "C7F3K2"), CaseKey("lab-1", "unfiled", "a" * 32)):
        assert parse_case_key(key.text) == key
