"""A preview stands in its case until the picture is recorded; nobody signs on it."""

from __future__ import annotations

import pytest

from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion, ReviewRefusedError
from tests.dashboard.reports_for_tests import digest, hex_id
from tests.dashboard.review.desk_for_tests import ANNA, CASE, OPERATOR, Lab
from wire_protocol.case_messages import Finding

NEW = "lab.N3W01"


def preview(lab: Lab, number: int, case_id: str, **changes: object) -> None:
    lab.file(
        number, case_id=case_id, status="preview", image_sha256=digest(900 + number), **changes
    )


def test_a_preview_is_in_the_worklist_before_its_picture_and_cannot_be_signed(
    desk: Desk, lab: Lab
) -> None:
    seen = desk.last_change()
    preview(lab, 7, "N3W01")
    assert [c.case_key for c in desk.changes(seen, ANNA).changes] == [NEW]
    row = next(r for r in desk.worklist(ANNA).cases if r.key == NEW)
    assert (row.status, row.previews, row.fields, row.rank) == ("preview", 1, 0, 1)
    assert row.text.startswith("PREVIEW, the whole picture is still to come. URGENT")
    assert "in 1 small preview" in row.text
    detail = desk.case(NEW, ANNA)
    (field,) = detail.fields
    assert field.is_preview and not field.has_image and "small preview" in detail.combined
    for finding in (None, Finding.ALL):
        with pytest.raises(ReviewRefusedError, match="when the picture is here"):
            desk.sign(NEW, Opinion(finding), by=ANNA, expected_version=0)
    assert OPERATOR.role is not None and desk.worklist(OPERATOR).cases == ()


def test_the_picture_takes_the_preview_s_place_and_the_preview_is_kept_beside_it(
    desk: Desk, lab: Lab
) -> None:
    preview(lab, 7, "N3W01", urgency="no_leukemia_pattern", urgency_rank=4, result="healthy",
            p_aml=0.01, p_healthy=0.98)  # fmt: skip
    assert desk.case(NEW, ANNA).summary.urgency == "no_leukemia_pattern"
    lab.file(7, case_id="N3W01")
    found = desk.case(NEW, ANNA)
    assert (found.summary.status, found.summary.previews, found.summary.fields) == ("draft", 0, 1)
    assert found.summary.result == "aml"
    (field,) = found.fields
    assert not field.is_preview and field.has_image
    assert [other.result for other in field.previews] == ["healthy"]
    desk.sign(NEW, Opinion(), by=ANNA, expected_version=0)


def test_previews_say_nothing_where_a_picture_speaks(desk: Desk, lab: Lab) -> None:
    before = desk.case(CASE, ANNA)
    preview(lab, 8, "C7F3K2", urgency="no_leukemia_pattern", urgency_rank=4, result="healthy",
            p_aml=0.01, p_healthy=0.98)  # fmt: skip
    after = desk.case(CASE, ANNA)
    assert after.running == before.running and after.summary.previews == 1
    assert {f.image_id: f.is_preview for f in after.fields} == {
        hex_id("image", 1): False, hex_id("image", 8): True,
    }  # fmt: skip
    done = desk.sign(CASE, Opinion(), by=ANNA, expected_version=0)
    assert done.review.held is not None
    assert done.review.held.ai.image_ids == (hex_id("image", 1),)
    lab.wait(11)
    desk.settle()
    assert desk.worklist(ANNA).cases == ()  # the preview alone does not open it again
    lab.file(8)
    assert desk.worklist(ANNA).cases[0].new_fields == 1


def test_a_preview_that_comes_after_its_picture_or_twice_changes_nothing(
    desk: Desk, lab: Lab
) -> None:
    seen = desk.last_change()
    preview(lab, 1, "C7F3K2")
    assert desk.changes(seen, ANNA).changes == ()
    preview(lab, 7, "N3W01")
    preview(lab, 7, "N3W01")
    assert len(desk.changes(seen, ANNA).changes) == 1
    assert desk.case(NEW, ANNA).summary.previews == 1


def test_a_field_captured_for_one_case_and_recorded_for_another_leaves_the_first(
    desk: Desk, lab: Lab
) -> None:
    preview(lab, 7, "N3W01")
    lab.file(7, case_id="0THER1")
    assert {r.key for r in desk.worklist(ANNA).cases} == {CASE, "lab.0THER1"}
