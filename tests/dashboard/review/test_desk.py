"""The desk over a real database: who may do what, who wins, what is kept, what the feed tells.

(Over 250 lines: one case is seen and signed by everybody.)
"""

from __future__ import annotations

import threading

import pytest

from dashboard.accounts.roles import Actor, NotAllowedError, Role
from dashboard.cases.feed import forget_changes
from dashboard.engine import open_engine
from dashboard.review.desk import Desk
from dashboard.review.events import Placed
from dashboard.review.findings import Fab
from dashboard.review.looking import NoSuchCaseError
from dashboard.review.machine import Opinion, ReviewConflictError, ReviewRefusedError
from dashboard.store import RecordsStore
from tests.dashboard.reports_for_tests import AT, content, digest, hex_id
from tests.dashboard.review.desk_for_tests import (
    ANNA,
    BERT,
    BLIND,
    CASE,
    ENGINEER,
    OPERATOR,
    Lab,
)
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus, Refile


def test_a_case_is_in_the_worklist_with_its_fields_combined(desk: Desk, lab: Lab) -> None:
    lab.file(2, 3)
    (row,) = desk.worklist(ANNA).cases
    assert (row.key, row.fields, row.white_cells, row.result) == (CASE, 3, 180, "aml")
    assert row.is_open and row.is_unread and row.rank == 1
    assert "180 white cells in 3 fields" in row.text
    detail = desk.case(CASE, ANNA)
    assert [f.image_id for f in detail.fields].count(hex_id("image", 1)) == 1
    assert len(detail.fields) == 3
    assert not desk.worklist(ANNA).cases[0].is_unread


def test_a_confirmation_is_signed_when_its_undo_has_passed(desk: Desk, lab: Lab) -> None:
    version = desk.case(CASE, ANNA).summary.version
    desk.sign(CASE, Opinion(comment="Auer rods"), by=ANNA, expected_version=version)
    held = desk.case(CASE, BERT).summary
    assert (held.status, held.held_by, held.is_open) == ("draft", "anna", True)
    lab.wait(9.99)
    assert desk.settle() == 0
    lab.wait(0.01)
    assert desk.settle() == 1
    signed = desk.case(CASE, BERT)
    assert (signed.summary.status, signed.summary.signed_by) == ("final", "anna")
    assert (signed.summary.finding, signed.summary.is_open) == ("aml", False)
    signature = signed.review.signature
    assert signature is not None and signature.placed.comment == "Auer rods"
    assert signature.signed_at_ms == lab.now_ms
    assert desk.worklist(ANNA).cases == ()
    assert desk.worklist(ANNA, signed=True).cases[0].key == CASE


def test_a_call_that_meets_an_answer_whose_time_has_come_signs_it(desk: Desk, lab: Lab) -> None:
    desk.case(CASE, ANNA)
    desk.sign(CASE, Opinion(), by=ANNA, expected_version=0)
    lab.wait(60)
    found = desk.case(CASE, BERT)
    assert found.summary.status == "final"
    signature = found.review.signature
    assert signature is not None
    assert signature.signed_at_ms == lab.now_ms - 50_000  # when its undo ended, not when read


def test_an_answer_taken_back_leaves_a_draft_and_both_events(desk: Desk, lab: Lab) -> None:
    desk.case(CASE, ANNA)
    done = desk.sign(CASE, Opinion(), by=ANNA, expected_version=0)
    desk.undo(CASE, by=ANNA, expected_version=done.review.version)
    lab.wait(60)
    found = desk.case(CASE, ANNA)
    assert found.summary.status == "draft" and found.summary.held_by == ""
    assert [event.kind for event in found.review.events] == ["placed", "undone"]
    with pytest.raises(ReviewRefusedError) as refused:
        desk.undo(CASE, by=ANNA, expected_version=found.summary.version)
    assert refused.value.code == "too_late"


def test_the_second_of_two_is_told_who_was_faster_and_stores_nothing(desk: Desk) -> None:
    version = desk.case(CASE, ANNA).summary.version
    desk.case(CASE, BERT)
    desk.sign(CASE, Opinion(Finding.CLL), by=ANNA, expected_version=version)
    with pytest.raises(ReviewConflictError, match="anna was faster: answered CLL") as conflict:
        desk.sign(CASE, Opinion(), by=BERT, expected_version=version)
    assert (conflict.value.by, conflict.value.version) == ("anna", 1)
    assert len(desk.case(CASE, BERT).review.events) == 1


def test_of_many_who_sign_at_once_exactly_one_wins(desk: Desk, lab: Lab) -> None:
    readers = [Actor(f"reader-{n}", Role.HEMATOLOGIST) for n in range(6)]
    start, outcomes = threading.Barrier(len(readers)), list[str]()

    def act(reader: Actor) -> None:
        own = lab.desk()
        try:
            own.case(CASE, reader)
            start.wait(20)
            own.sign(CASE, Opinion(Finding.ALL), by=reader, expected_version=0)
            outcomes.append("won")
        except ReviewConflictError as conflict:
            outcomes.append(conflict.by)
        finally:
            own.close()

    threads = [threading.Thread(target=act, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    placed = [e for e in desk.case(CASE, ANNA).review.events if isinstance(e, Placed)]
    assert len(placed) == 1
    assert sorted(outcomes) == sorted(["won", *[placed[0].by] * 5])


def test_a_correction_keeps_what_was_signed_before(desk: Desk, lab: Lab) -> None:
    desk.case(CASE, ANNA)
    desk.sign(CASE, Opinion(), by=ANNA, expected_version=0)
    lab.wait(11)
    with pytest.raises(ReviewRefusedError, match="amend it instead"):
        desk.sign(CASE, Opinion(), by=BERT, expected_version=1)
    desk.case(CASE, BERT)
    opinion = Opinion(Finding.APL, Fab.M3, "faggot cells")
    desk.amend(CASE, opinion, by=BERT, expected_version=1)
    lab.wait(11)
    found = desk.case(CASE, ANNA)
    assert (found.summary.status, found.summary.finding, found.summary.rank) == (
        "amended",
        "apl",
        0,
    )
    assert [s.placed.by for s in found.review.signatures] == ["anna", "bert"]
    assert found.review.signatures[0].placed.finding is Finding.AML
    desk.enter_in_error(CASE, "other patient's slide", by=ANNA, expected_version=3)
    lab.wait(11)
    gone = desk.case(CASE, ANNA)
    assert gone.summary.status == "entered_in_error" and gone.summary.finding == ""
    assert gone.summary.is_open and len(gone.review.signatures) == 3


@pytest.mark.parametrize(
    ("opinion", "code"),
    [
        (Opinion(Finding.CLL, Fab.M3), "fab"),
        (Opinion(Finding.AML, Fab.M3), "fab"),
        (Opinion(Finding.ALL, comment="x" * 501), "comment_too_long"),
        (Opinion(Finding.ALL, comment="a\0b"), "comment_unprintable"),
        (Opinion(Finding.ALL, comment="a\u202eb"), "comment_unprintable"),
        (Opinion(Finding.ALL, comment="a\ud800b"), "comment_unprintable"),
    ],
)
def test_an_unfit_answer_is_refused_and_stores_nothing(
    desk: Desk, opinion: Opinion, code: str
) -> None:
    desk.case(CASE, ANNA)
    with pytest.raises(ReviewRefusedError) as refused:
        desk.sign(CASE, opinion, by=ANNA, expected_version=0)
    assert refused.value.code == code
    assert desk.case(CASE, ANNA).review.events == ()


def test_a_comment_of_the_longest_length_in_any_script_is_kept(desk: Desk) -> None:
    desk.case(CASE, ANNA)
    comment = ("می‌روم 骨髄 <script>alert(1)</script> " * 20)[:500].strip()
    desk.sign(CASE, Opinion(Finding.ALL, comment=comment), by=ANNA, expected_version=0)
    held = desk.case(CASE, ANNA).review.held
    assert held is not None and held.comment == comment


@pytest.mark.parametrize("key", ["lab.C9", "lab.NONE1", "clinic.C7F3K2", "../etc", "", "a" * 999])
def test_a_case_that_is_not_there_is_said_so(desk: Desk, key: str) -> None:
    with pytest.raises(NoSuchCaseError):
        desk.case(key, ANNA)
    with pytest.raises(NoSuchCaseError):
        desk.sign(key, Opinion(Finding.ALL), by=ANNA, expected_version=0)


def test_each_role_sees_and_does_its_part_only(desk: Desk, lab: Lab) -> None:
    for actor in (OPERATOR, ENGINEER, Actor("x", None)):
        with pytest.raises(NotAllowedError):
            desk.case(CASE, actor)
        with pytest.raises(NotAllowedError):
            desk.sign(CASE, Opinion(Finding.ALL), by=actor, expected_version=0)
    with pytest.raises(NotAllowedError):
        desk.worklist(ENGINEER)
    with pytest.raises(NotAllowedError):
        desk.image(hex_id("image", 1), ENGINEER)
    assert desk.worklist(OPERATOR).cases == ()
    lab.file(9, case_id="R1AA", **RETAKE)
    (row,) = desk.worklist(OPERATOR).cases
    assert row.case_id == "R1AA" and row.ai_hidden and row.result == "" and row.p_acute is None


RETAKE = {"urgency": "retake", "urgency_rank": 5, "result": "cannot_say", "reason": "focus",
          "outcome": "rejected"}  # fmt: skip


def test_the_lab_operator_s_queue_says_what_to_take_again_and_why(desk: Desk, lab: Lab) -> None:
    text = "Cannot say: focus 4.1, at least 12 needed. Capture again. Research use only."
    lab.file(9, case_id="R1AA", text=text, **RETAKE)
    (line,) = desk.retakes(OPERATOR)
    assert (line.case_id, line.reason, line.text) == ("R1AA", "focus", text)
    assert desk.image(hex_id("image", 9), OPERATOR) == (digest(9), content(9))
    with pytest.raises(NoSuchCaseError):  # a picture with a result is none of theirs
        desk.image(hex_id("image", 1), OPERATOR)
    assert desk.image(hex_id("image", 1), ANNA)
    with pytest.raises(NotAllowedError):
        desk.retakes(ENGINEER)
    assert desk.retakes(Actor("otto", Role.LAB_OPERATOR, site="clinic")) == []


def test_a_reader_of_another_site_sees_nothing_of_this_one(desk: Desk) -> None:
    foreign = Actor("fred", Role.HEMATOLOGIST, site="clinic")
    assert desk.worklist(foreign).cases == ()
    assert desk.worklist(foreign, sites=["lab"]).cases == ()
    with pytest.raises(NoSuchCaseError):
        desk.case(CASE, foreign)
    with pytest.raises(NoSuchCaseError):
        desk.field(hex_id("image", 1), foreign)
    with pytest.raises(NoSuchCaseError):
        desk.image(hex_id("image", 1), foreign)
    assert desk.changes(0, foreign).changes == ()


def test_who_reads_before_the_ai_is_shown_nothing_of_it_and_signs_unseen(
    desk: Desk, lab: Lab
) -> None:
    hidden = desk.case(CASE, BLIND)
    assert hidden.summary.ai_hidden and hidden.probabilities is None and hidden.running is None
    told = repr((hidden.summary, hidden.fields, hidden.probabilities, hidden.running))
    for word in ("aml", "acute leukemia", "suspected", "0.998", "0.999"):
        assert word not in told, word
    assert "aml" not in repr(desk.worklist(BLIND).cases)
    with pytest.raises(ReviewRefusedError, match="not shown cannot be confirmed"):
        desk.sign(CASE, Opinion(), by=BLIND, expected_version=0)
    done = desk.sign(CASE, Opinion(Finding.AML), by=BLIND, expected_version=0)
    assert done.review.held is not None and not done.review.held.ai_seen
    assert desk.case(CASE, BLIND).summary.result == "aml"  # answered: now it is shown
    lab.wait(11)
    amended = desk.amend(CASE, Opinion(Finding.ALL), by=BLIND, expected_version=1)
    assert amended.review.held is not None and amended.review.held.ai_seen


def test_what_was_revealed_counts_as_seen(desk: Desk) -> None:
    assert desk.case(CASE, BLIND, reveal=True).summary.result == "aml"
    done = desk.sign(CASE, Opinion(Finding.ALL), by=BLIND, expected_version=0)
    assert done.review.held is not None and done.review.held.ai_seen


def test_the_feed_has_no_gaps_and_catches_a_reader_up(desk: Desk, lab: Lab) -> None:
    seen = desk.worklist(ANNA).change_id
    lab.file(2)
    lab.file(3, case_id="D42X")
    desk.case(CASE, ANNA)
    desk.sign(CASE, Opinion(), by=ANNA, expected_version=0)
    lab.wait(11)
    desk.settle()
    found = desk.changes(seen, ANNA)
    assert [c.id for c in found.changes] == list(range(seen + 1, seen + 5))
    assert [(c.kind.value, c.case_key) for c in found.changes] == [
        ("case", CASE), ("case", "lab.D42X"), ("review", CASE), ("review", CASE),
    ]  # fmt: skip
    assert found.complete and desk.changes(found.last_id, ANNA).changes == ()
    half = desk.changes(seen, ANNA, limit=2)
    assert not half.complete and half.last_id == seen + 2
    assert [c.id for c in desk.changes(half.last_id, ANNA).changes] == [seen + 3, seen + 4]


def test_a_reader_who_missed_what_is_forgotten_is_told_to_reload(desk: Desk, lab: Lab) -> None:
    lab.file(2)
    lab.file(3)
    engine = open_engine(lab.url)
    with engine.begin() as connection:
        forget_changes(connection, 3)
    engine.dispose()
    for after in (0, 1):
        found = desk.changes(after, ANNA)
        assert (found.changes, found.last_id, found.complete) == ((), 3, False)
    assert [change.id for change in desk.changes(2, ANNA).changes] == [3]
    assert desk.changes(3, ANNA).complete


def test_a_field_that_comes_after_the_signature_opens_the_case_again(desk: Desk, lab: Lab) -> None:
    desk.case(CASE, ANNA)
    desk.sign(CASE, Opinion(Finding.NO_LEUKEMIA_PATTERN), by=ANNA, expected_version=0)
    lab.wait(11)
    desk.settle()
    assert desk.worklist(ANNA).cases == ()
    lab.file(2)
    (row,) = desk.worklist(ANNA).cases
    assert row.status == "final" and row.new_fields == 1
    assert row.rank == 1  # what the AI says now is more urgent than what was signed


def test_a_field_that_is_moved_changes_both_cases(desk: Desk, lab: Lab) -> None:
    lab.file(2)
    store = RecordsStore(lab.url, AT)
    refile = Refile(
        site="lab", device="scope-1", refile_id=hex_id("refile", 1), image_id=hex_id("image", 2),
        outbox_id=hex_id("outbox", 0), number=1, from_case="C7F3K2", to_case="E77X",
        operator="olga", refiled_at=AT,
    )  # fmt: skip
    store.commit([refile], AT)
    assert {(c.case_id, c.fields) for c in desk.worklist(ANNA).cases} == {
        ("C7F3K2", 1),
        ("E77X", 1),
    }
    back = refile.model_copy(
        update={"refile_id": hex_id("refile", 2), "number": 2, "to_case": "C7F3K2"}
    )
    store.commit([back], AT)
    store.close()
    assert [(c.case_id, c.fields) for c in desk.worklist(ANNA).cases] == [("C7F3K2", 2)]


def test_unfiled_fields_stand_for_themselves(desk: Desk, lab: Lab) -> None:
    lab.file(4, 5, case_id="unfiled")
    keys = {row.key for row in desk.worklist(ANNA).cases}
    assert keys == {CASE, f"lab.unfiled.{hex_id('image', 4)}", f"lab.unfiled.{hex_id('image', 5)}"}
    assert len(desk.case(f"lab.unfiled.{hex_id('image', 4)}", ANNA).fields) == 1


def test_a_picture_is_the_archive_s_bytes_and_damaged_ones_are_not_shown(
    desk: Desk, lab: Lab
) -> None:
    assert desk.image(hex_id("image", 1), ANNA) == (digest(1), content(1))
    for path in (lab.folder / "archive").rglob(digest(1)):
        path.write_bytes(b"other")
    with pytest.raises(Exception, match="damaged"):
        desk.image(hex_id("image", 1), ANNA)


def test_a_retake_is_asked_once_and_its_answer_is_kept(desk: Desk) -> None:
    desk.case(CASE, ANNA)
    done = desk.ask_retake(CASE, comment="too thick", by=ANNA, expected_version=0)
    asked = done.review.retake
    assert asked is not None and asked.device == "scope-1"
    with pytest.raises(ReviewRefusedError, match="not answered yet"):
        desk.ask_retake(CASE, comment="", by=BERT, expected_version=1)
    assert desk.answer_retake(CASE, "0" * 32, ok=True, text="no") is None
    assert desk.answer_retake(CASE, asked.command_id, ok=False, text="case is not open here")
    row = desk.case(CASE, BERT).summary
    assert (row.retake, row.status) == ("refused", "draft")
    # What a microscope says is no person's act: whoever read before may still sign.
    desk.sign(CASE, Opinion(), by=BERT, expected_version=1)


def test_a_referral_stays_open_and_says_to_whom(desk: Desk) -> None:
    desk.case(CASE, ANNA)
    desk.refer(CASE, to="bert", comment="second look", by=ANNA, expected_version=0)
    row = desk.worklist(BERT).cases[0]
    assert (row.referred_to, row.status, row.is_open) == ("bert", "draft", True)
    with pytest.raises(ReviewRefusedError, match="somebody else"):
        desk.refer(CASE, to="anna", comment="", by=ANNA, expected_version=1)


def test_a_draft_stays_a_draft_without_a_person(desk: Desk, lab: Lab) -> None:
    lab.wait(10_000)
    desk.settle()
    assert desk.case(CASE, ANNA).review.status is DiagnosisStatus.DRAFT
