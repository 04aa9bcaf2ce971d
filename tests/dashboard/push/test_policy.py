"""When a case is worth a notification: once and at each rise, never for retakes or single fields, not too often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dashboard.push.policy import PushPolicy, Why
from dashboard.push.settings import PushSettings
from dashboard.review.views import CaseSummary

CASE = CaseSummary(
    key="lab.C7F3K2",
    site="lab",
    case_id="C7F3K2",
    device="scope-1",
    urgency="suspected_acute",
    rank=1,
    result="aml",
    reason="",
    text="",
    p_acute=0.9,
    fields=1,
    retakes=0,
    acute_fields=1,
    white_cells=7,
    status="draft",
    previews=0,
    version=0,
    finding="",
    signed_by="",
    signed_at="",
    held_by="",
    held_due_ms=None,
    new_fields=0,
    referred_to=None,
    retake="",
    is_open=True,
    is_unread=True,
    first_captured_at="",
    first_recorded_at="",
    last_recorded_at="",
    leading_image_id="",
    leading_sha256="",
)


@pytest.fixture
def policy() -> PushPolicy:
    settings = PushSettings(contact="mailto:a@b", cooldown_s=60, escalate_after_s=600)
    return PushPolicy(settings)


def case(name: str = "C7F3K2", **changes: Any) -> CaseSummary:
    """The case of this name, with changes."""
    return replace(CASE, **({"key": f"lab.{name}", "case_id": name} | changes))


def test_a_case_is_told_once_and_again_when_it_rises(policy: PushPolicy) -> None:
    policy.seen(case(rank=4), 0)
    assert policy.due(0) == []
    policy.seen(case(), 1)
    assert [told.why for told in policy.due(1)] == [Why.URGENT]
    policy.seen(case(fields=2), 2)
    policy.seen(case(fields=3), 100)
    assert policy.due(100) == []
    policy.seen(case(rank=0), 101)
    assert [told.why for told in policy.due(101)] == [Why.EMERGENCY]


@pytest.mark.parametrize(
    "quiet",
    [
        case(rank=5, fields=0, retakes=1),
        case(fields=0, retakes=1),
        case(case_id="unfiled"),
        case(is_open=False),
        case(rank=2),
    ],
    ids=["retake", "only_retakes", "single_field", "signed", "not_urgent"],
)
def test_what_is_not_worth_it_is_not_told(policy: PushPolicy, quiet: CaseSummary) -> None:
    policy.seen(quiet, 0)
    assert policy.due(10_000) == []


def test_what_comes_within_the_cooldown_is_told_together_after_it(policy: PushPolicy) -> None:
    policy.seen(case("A1AA"), 0)
    assert len(policy.due(0)) == 1
    policy.seen(case("B2BB"), 10)
    policy.seen(case("C3CC", rank=0), 20)
    assert policy.due(30) == []
    assert policy.deadline() == 60
    [told] = policy.due(60)
    assert (told.why, set(told.keys)) == (Why.EMERGENCY, {"lab.B2BB", "lab.C3CC"})


def test_an_urgent_case_that_nobody_opens_is_told_once_more(policy: PushPolicy) -> None:
    policy.seen(case(), 0)
    policy.due(0)
    assert policy.deadline() == 600
    assert policy.due(599) == []
    assert [told.why for told in policy.due(600)] == [Why.UNREAD]
    assert policy.due(10_000) == []
    assert policy.deadline() is None


def test_a_case_that_was_opened_is_not_told_again(policy: PushPolicy) -> None:
    policy.seen(case(), 0)
    policy.due(0)
    policy.seen(case(is_unread=False), 5)
    assert policy.due(600) == []
    assert policy.deadline() is None


def test_what_was_there_before_the_start_is_not_told_but_not_forgotten(policy: PushPolicy) -> None:
    policy.seen(case(), 0, is_new=False)
    assert policy.due(0) == []
    assert [told.why for told in policy.due(600)] == [Why.UNREAD]


def test_a_case_that_falls_and_rises_again_is_not_told_again(policy: PushPolicy) -> None:
    policy.seen(case(), 0)
    assert len(policy.due(0)) == 1
    policy.seen(case(rank=4), 10)
    policy.seen(case(), 20)
    assert policy.due(100) == []
    policy.seen(case(rank=4), 700)
    assert policy.due(2000) == []  # nobody opened it, and it is not urgent any more
    policy.seen(case(), 2000)
    assert [told.why for told in policy.due(2600)] == [Why.UNREAD]


def test_what_is_no_longer_urgent_when_the_cooldown_ends_is_not_told(policy: PushPolicy) -> None:
    policy.seen(case("A1AA"), 0)
    policy.due(0)
    policy.seen(case("B2BB"), 10)
    policy.seen(case("B2BB", rank=4), 20)
    policy.seen(case("C3CC"), 20)
    policy.seen(case("C3CC", is_open=False), 30)
    assert policy.due(100) == []
    policy.seen(case("B2BB"), 110)  # it was never told
    assert [told.keys for told in policy.due(110)] == [("lab.B2BB",)]


def test_a_case_that_is_signed_as_an_emergency_is_told_to_all_once(policy: PushPolicy) -> None:
    policy.seen(case(), 0)
    policy.due(0)
    signed = case(rank=0, is_open=False, is_unread=False, finding="apl")
    policy.seen(signed, 100)
    assert [told.why for told in policy.due(100)] == [Why.EMERGENCY]
    policy.seen(replace(signed, new_fields=1), 200)
    assert policy.due(10_000) == []


def test_a_signed_case_that_new_fields_open_again_is_told_again(policy: PushPolicy) -> None:
    policy.seen(case(), 0)
    policy.due(0)
    policy.seen(case(is_open=False, rank=4), 100)
    policy.seen(case(is_open=True, new_fields=1), 200)
    assert [told.why for told in policy.due(200)] == [Why.URGENT]


def test_sites_do_not_hold_each_other_up(policy: PushPolicy) -> None:
    policy.seen(case("A1AA"), 0)
    policy.seen(replace(CASE, key="other.C7F3K2", site="other"), 0)
    assert {told.site for told in policy.due(0)} == {"lab", "other"}
