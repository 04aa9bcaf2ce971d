"""Slides of many fields: what is summed, what counts as wrong, and that no answer is no right one."""

from __future__ import annotations

import pytest

from benchmarks.simulator_slides import Told, accuracy_of, cases_of, verdict_of
from dashboard.cases.combine import FieldResult, Limits
from wire_protocol.json_messages import Urgency

LIMITS = Limits(acute=("all",), chronic=(), t_acute=0.3, t_chronic=0.5, abstention=0.6)


def told(slide: str, truth: str, p: dict[str, float] | None, largest: str = "all") -> Told:
    field = FieldResult(
        image_id=f"{slide}-{largest}",
        urgency=Urgency.CANNOT_SAY,
        result="cannot_say",
        reason="",
        bundle="b",
        probabilities=p,
        limits=None if p is None else LIMITS,
        white_cells=7,
    )
    return Told(slide, truth, largest, field)


def test_foreign_fields_are_not_summed() -> None:
    heard = {"all": 0.9, "healthy": 0.1}
    found = cases_of([told("a", "all", heard), told("a", "all", None), told("b", "healthy", None)])
    assert list(found) == ["a"]
    assert found["a"].fields == (heard,)
    assert found["a"].truth == "all"


def test_no_answer_is_wrong_and_abstaining_is_neither() -> None:
    keys = ["all", "healthy"]
    answered = [("a", "all", "all"), ("b", "all", ""), ("c", "healthy", "healthy")]
    assert accuracy_of(keys, answered).value == pytest.approx(0.75)
    assert verdict_of("all", "all") == "right"
    assert verdict_of("healthy", "all") == "wrong"
    assert verdict_of("acute_uncertain", "all") == verdict_of("cannot_say", "all") == "cannot say"
