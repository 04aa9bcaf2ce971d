"""Turns rows into the desk's views; where the AI's answer is kept back it is left out here, not hidden later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from dashboard.cases.field_rows import CaseField
from dashboard.cases.keys import CaseKey
from dashboard.cases.settings import CaseSettings
from dashboard.identity import Mode
from dashboard.review.views import CaseSummary, FieldDetail, OtherReport
from wire_protocol.json_messages import URGENCY_RANK

HIDDEN_TEXT = "Read it first: what the AI says is shown after your answer."


def summary(row: Row[Any], *, hides: bool = False) -> CaseSummary:
    """A case's line."""
    total = row.fields + row.retakes
    is_signed = row.signed_at != ""
    made = CaseSummary(
        key=CaseKey(row.site, row.case_id, row.image_id).text,
        site=row.site,
        case_id=row.case_id,
        device=row.device,
        urgency=row.urgency,
        rank=row.rank,
        result=row.result,
        reason=row.reason,
        text=row.text,
        p_acute=row.p_acute,
        fields=row.fields,
        retakes=row.retakes,
        acute_fields=row.acute_fields,
        white_cells=row.white_cells,
        status="preview" if total == 0 else row.review_status,
        previews=row.previews,
        version=row.review_version,
        finding=row.finding,
        signed_by=row.signed_by,
        signed_at=row.signed_at,
        held_by=row.held_by,
        held_due_ms=row.held_due_ms,
        new_fields=max(0, total - row.signed_fields) if is_signed else 0,
        referred_to=row.referred_to,
        retake=row.retake,
        is_open=row.is_open,
        is_unread=row.opened_at == "",
        first_captured_at=row.first_captured_at,
        first_recorded_at=row.first_recorded_at,
        last_recorded_at=row.last_recorded_at,
        leading_image_id=row.leading_image_id,
        leading_sha256=row.leading_sha256,
    )
    if not hides:
        return made
    return replace(
        made,
        urgency="",
        rank=9,
        result="",
        reason="",
        text=HIDDEN_TEXT,
        p_acute=None,
        retakes=0,
        fields=total,
        acute_fields=0,
        leading_image_id="",
        leading_sha256="",
        ai_hidden=True,
    )


def field_detail(
    field: CaseField, key: CaseKey, others: Sequence[Any], *, hides: bool
) -> FieldDetail:
    """A field with its previews and alternatives; of a hidden answer only what was measured stays."""
    body = field.body
    reports = [_other(row) for row in others]
    boxes = body.get("white_cell_boxes")
    made = FieldDetail(
        image_id=field.result.image_id,
        sha256=field.sha256,
        has_image=field.has_blob,
        site=field.site,
        device=field.device,
        case_key=key.text,
        case_id=key.case_id,
        outcome=field.outcome.value,
        urgency=field.result.urgency.value,
        rank=URGENCY_RANK[field.result.urgency],
        result=field.result.result,
        reason=field.result.reason,
        text=field.text,
        probabilities={
            name[2:]: value
            for name, value in body.items()
            if name.startswith("p_") and name != "p_acute"
        },
        p_acute=body.get("p_acute"),
        model=body.get("model", ""),
        training_data=field.training_data,
        white_cells=field.result.white_cells,
        white_cell_boxes=None if boxes is None else tuple(_box(box) for box in boxes),
        um_per_px=body.get("um_per_px"),
        width_px=body.get("width_px"),
        height_px=body.get("height_px"),
        ood_percentile=body.get("ood_percentile"),
        gate_override=bool(body.get("gate_override")),
        override_reason=str(body.get("override_reason") or ""),
        captured_at=field.captured_at,
        recorded_at=field.recorded_at,
        latency_ms=body.get("latency_ms"),
        previews=tuple(r for r in reports if r.mode == Mode.PREVIEW and not field.is_preview),
        is_preview=field.is_preview,
        alternatives=tuple(r for r in reports if r.mode != Mode.PREVIEW),
    )
    if not hides:
        return made
    # The order of the boxes is the model's: most suspicious first.
    placed = None if boxes is None else tuple(sorted(_box(box) for box in boxes))
    return replace(
        made,
        urgency="",
        rank=9,
        result="",
        reason="",
        text=HIDDEN_TEXT,
        probabilities={},
        p_acute=None,
        ood_percentile=None,
        white_cell_boxes=placed,
        previews=(),
        alternatives=(),
        ai_hidden=True,
    )


def combined_words(row: Row[Any], settings: CaseSettings) -> str:
    """How the case's result came of its fields."""
    if row.image_id or row.summed == 0:
        return "The most urgent field speaks for the case: nothing could be summed."
    of = f"{row.fields} fields" if row.fields else f"{row.previews} small previews"
    prior = "the configured shares" if settings.prior else "equal shares"
    return (
        f"Calibrated log-probabilities of {row.summed} of {of}, each counted "
        f"{settings.field_weight:g} times against {prior} of the classes, summed and normalised."
    )


def _other(row: Any) -> OtherReport:
    return OtherReport(
        mode=row.mode,
        bundle=row.bundle,
        engine=row.engine,
        result=row.result,
        urgency=row.urgency,
        text=row.text,
        probabilities=row.probabilities,
        recorded_at=row.recorded_at,
    )


def _box(box: Sequence[int]) -> tuple[int, int, int, int]:
    x, y, width, height = box
    return x, y, width, height
