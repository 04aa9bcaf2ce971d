"""The rules of a review: whatever people do in whatever order, nothing signed is lost, nothing signed early."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.review import machine, wishes
from dashboard.review.events import AiSaid, AnyEvent, Placed, RetakeAnswered, Signed, Undone
from dashboard.review.findings import (
    FAB_OF,
    FINDING_RANK,
    FINDING_URGENCY,
    FINDING_WORDS,
    finding_of,
)
from dashboard.review.machine import Opinion, Review, ReviewConflictError, ReviewRefusedError
from dashboard.review.settings import ReviewSettings
from dashboard.review.wishes import Known, Wish
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus, Urgency

RULES = ReviewSettings()
AI = AiSaid(result="aml", urgency="suspected_acute", bundle="b@1", image_ids=("1" * 32,))
KNOWN = Known(AI, ai_seen=True)
PEOPLE = ("anna", "bert", "carl")
#: Every status that may follow each one.
FOLLOWS = {
    DiagnosisStatus.DRAFT: {DiagnosisStatus.FINAL},
    DiagnosisStatus.FINAL: {DiagnosisStatus.AMENDED, DiagnosisStatus.ENTERED_IN_ERROR},
    DiagnosisStatus.AMENDED: {DiagnosisStatus.AMENDED, DiagnosisStatus.ENTERED_IN_ERROR},
    DiagnosisStatus.ENTERED_IN_ERROR: {DiagnosisStatus.AMENDED},
}


@dataclass(slots=True)
class Desk:
    """Applies whatever the rules allow, as the store does, and remembers what it refused."""

    review: Review = field(default_factory=Review)
    now_ms: int = 0
    refused: list[str] = field(default_factory=list)

    def do(self, deed: str, by: str, version: int) -> None:
        """One wish on this version; a refusal changes nothing."""
        signed = machine.settle(self.review, self.now_ms)
        if signed is not None:
            self.review = machine.apply(self.review, signed)
        before = self.review
        try:
            event = self._wish(deed, by, version)
        except ReviewRefusedError as refusal:
            self.refused.append(refusal.code)
            assert self.review is before
            return
        if event is not None:
            self.review = machine.apply(self.review, event)

    def _wish(self, deed: str, by: str, version: int) -> AnyEvent | None:
        wish = Wish(by, version, self.now_ms, RULES)
        match deed:
            case "sign":
                return wishes.sign(self.review, Opinion(), wish, KNOWN)
            case "amend":
                return wishes.amend(self.review, Opinion(Finding.CLL), wish, KNOWN)
            case "error":
                return wishes.enter_in_error(self.review, "why", wish, KNOWN)
            case "undo":
                return wishes.undo(self.review, wish)
            case "refer":
                return wishes.refer(self.review, wish, to="", comment="")
            case "retake":
                return wishes.ask_retake(
                    self.review, wish, command_id="c" * 32, device="d", comment=""
                )
            case _:
                return wishes.answer_retake(
                    self.review, command_id="c" * 32, ok=True, text="", now_ms=self.now_ms
                )


DEEDS = st.tuples(
    st.sampled_from(("sign", "amend", "error", "undo", "refer", "retake", "answer")),
    st.sampled_from(PEOPLE),
    st.integers(0, 2),  # how many versions behind
    st.sampled_from((0, 1, 5_000, 9_999, 10_000, 60_000)),  # ms that pass before
)


@settings(max_examples=150, deadline=None)
@given(st.lists(DEEDS, max_size=30))
def test_whatever_people_do_nothing_signed_is_lost_and_nothing_is_signed_early(
    deeds: list[tuple[str, str, int, int]],
) -> None:
    desk = Desk()
    for deed, by, behind, passes_ms in deeds:
        desk.now_ms += passes_ms
        before = desk.review
        desk.do(deed, by, max(0, before.version - behind))
        after = desk.review
        assert after.events[: len(before.events)] == before.events
        assert after.signatures[: len(before.signatures)] == before.signatures
        assert after.number == len(after.events) and before.version <= after.version <= after.number
    review = desk.review
    assert machine.fold(review.events) == review
    status = DiagnosisStatus.DRAFT
    for signature in review.signatures:
        assert signature.status in FOLLOWS[status]
        status = signature.status
        assert signature.signed_at_ms == signature.placed.due_ms
        assert signature.placed.due_ms - signature.placed.at_ms == 10_000
    assert review.status is status
    open_answers = 0
    for event in review.events:
        open_answers += isinstance(event, Placed)
        open_answers -= isinstance(event, Undone | Signed)
        assert 0 <= open_answers <= 1  # never two answers at once, and none signed that was undone
    assert (review.held is not None) == (open_answers == 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(DEEDS, max_size=20), st.sampled_from(("sign", "amend", "error", "undo", "refer")))
def test_a_wish_on_an_old_version_never_counts_and_names_who_was_faster(
    deeds: list[tuple[str, str, int, int]], wish: str
) -> None:
    desk = Desk()
    for deed, by, behind, passes_ms in deeds:
        desk.now_ms += passes_ms
        desk.do(deed, by, max(0, desk.review.version - behind))
    if not desk.review.version:
        return
    last = desk.review.events[desk.review.version - 1]
    with pytest.raises(ReviewConflictError) as conflict:
        desk._wish(wish, "dora", desk.review.version - 1)
    assert (conflict.value.by, conflict.value.version) == (last.by, desk.review.version)


def test_only_who_placed_an_answer_takes_it_back_and_only_in_time() -> None:
    desk = Desk()
    desk.do("sign", "anna", 0)
    desk.do("undo", "bert", 1)
    desk.now_ms = 9_999
    desk.do("undo", "anna", 1)
    assert desk.refused == ["not_yours"] and desk.review.held is None
    desk.do("sign", "anna", 2)
    desk.now_ms += 10_000
    desk.do("undo", "anna", 3)
    assert desk.refused[-1] == "too_late" and desk.review.status is DiagnosisStatus.FINAL


def test_an_undo_at_the_last_moment_is_too_late_even_where_nobody_has_settled_yet() -> None:
    desk = Desk()
    desk.do("sign", "anna", 0)
    for now_ms, allowed in ((9_999, True), (10_000, False)):
        try:
            wishes.undo(desk.review, Wish("anna", 1, now_ms, RULES))
        except ReviewRefusedError as refusal:
            assert not allowed and refusal.code == "too_late"
        else:
            assert allowed


def test_what_the_ai_could_not_say_or_did_not_show_cannot_be_confirmed() -> None:
    unsure = AI.model_copy(update={"result": "cannot_say", "urgency": "cannot_say"})
    for ai, seen, code in ((unsure, True, "nothing_to_confirm"), (AI, False, "ai_not_seen")):
        with pytest.raises(ReviewRefusedError) as refused:
            wishes.sign(Review(), Opinion(), Wish("anna", 0, 0, RULES), Known(ai, seen))
        assert refused.value.code == code


def test_a_microscope_s_answer_to_another_wish_is_not_taken() -> None:
    desk = Desk()
    desk.do("retake", "anna", 0)
    assert wishes.answer_retake(
        desk.review, command_id="d" * 32, ok=True, text="", now_ms=1
    ) is None  # fmt: skip
    desk.do("answer", "", 0)
    assert isinstance(desk.review.retake_answer, RetakeAnswered)
    assert desk.review.version == 1  # no person's act: whoever read before may still sign


def test_every_finding_has_words_rank_and_urgency_and_apl_is_an_emergency() -> None:
    assert set(FINDING_WORDS) == set(FINDING_RANK) == set(FINDING_URGENCY) == set(Finding)
    assert [f for f in Finding if FINDING_RANK[f] == 0] == [Finding.APL]
    assert set(FAB_OF) == {Finding.ALL, Finding.AML, Finding.APL}
    words = " ".join(FINDING_WORDS.values()).lower()
    assert not any(w in words for w in ("healthy", "diagnosed", "positive", "negative", "100 %"))


@pytest.mark.parametrize(
    ("result", "urgency", "finding"),
    [
        ("aml", Urgency.SUSPECTED_ACUTE, Finding.AML),
        ("pre", Urgency.SUSPECTED_ACUTE, Finding.ALL),
        ("acute_uncertain", Urgency.SUSPECTED_ACUTE, Finding.ACUTE_UNCERTAIN),
        ("newclass", Urgency.SUSPECTED_ACUTE, Finding.ACUTE_UNCERTAIN),
        ("newclass", Urgency.SUSPECTED_CHRONIC, Finding.OTHER_ABNORMAL),
        ("healthy", Urgency.NO_LEUKEMIA_PATTERN, Finding.NO_LEUKEMIA_PATTERN),
        ("benign", Urgency.NO_LEUKEMIA_PATTERN, Finding.NO_LEUKEMIA_PATTERN),
        ("cannot_say", Urgency.CANNOT_SAY, None),
        ("cannot_say", Urgency.RETAKE, None),
        ("aml", Urgency.RETAKE, None),
    ],
)
def test_an_ai_result_translates_into_a_person_s_words(
    result: str, urgency: Urgency, finding: Finding | None
) -> None:
    assert finding_of(result, urgency) is finding
