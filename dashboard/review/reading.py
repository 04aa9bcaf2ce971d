"""Turns rows into the desk's views; where the AI's answer is kept back it is left out here, not hidden later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from dashboard.cases.field_rows import CaseField
from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.settings import CaseSettings
from dashboard.cases.tables import CaseRow
from dashboard.identity import Mode
from dashboard.review.tables import ReadingRow
from dashboard.review.views import CaseSummary, FieldDetail, NewestField, OtherReport, RetakeLine
from dashboard.schema import DiagnosisRow, ImageRow
from wire_protocol.json_messages import URGENCY_RANK, Urgency

HIDDEN_TEXT = "Read it first: what the AI says is shown after your answer."
_ORDER = (CaseRow.rank, CaseRow.first_recorded_at, CaseRow.id)
#: By age alone: the order by urgency would tell what the AI says.
_BLIND_ORDER = (CaseRow.first_recorded_at, CaseRow.id)


def worklist_query(sites: Sequence[str] | None, *, signed: bool, blind: bool) -> Select[Any]:
    """The open cases (or all), most urgent first, oldest first within."""
    query = select(CaseRow.__table__).where(CaseRow.fields + CaseRow.retakes + CaseRow.previews > 0)
    if not signed:
        query = query.where(CaseRow.is_open)
    if sites is not None:
        query = query.where(CaseRow.site.in_(sites))
    return query.order_by(*(_BLIND_ORDER if blind else _ORDER))


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


def other_reports(connection: Connection, image_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Every kept report of these images but the one that is shown."""
    shown = select(ImageRow.shown_id).where(ImageRow.image_id.in_(image_ids))
    query = (
        select(
            DiagnosisRow.image_id,
            DiagnosisRow.mode,
            DiagnosisRow.bundle,
            DiagnosisRow.engine,
            DiagnosisRow.result,
            DiagnosisRow.urgency,
            DiagnosisRow.text,
            DiagnosisRow.probabilities,
            DiagnosisRow.recorded_at,
        )
        .where(DiagnosisRow.image_id.in_(image_ids), DiagnosisRow.id.not_in(shown))
        .order_by(DiagnosisRow.id)
    )
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.image_id, []).append(row)
    return found


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


def retake_lines(
    connection: Connection, sites: Sequence[str] | None, limit: int
) -> list[RetakeLine]:
    """The fields that could not be judged, the newest first."""
    query = (
        select(
            ImageRow.image_id,
            ImageRow.site,
            ImageRow.device,
            ImageRow.case_id,
            DiagnosisRow.reason,
            DiagnosisRow.text,
            ImageRow.captured_at,
            ImageRow.recorded_at,
            ImageRow.has_blob.label("has_image"),
        )
        .join(DiagnosisRow, DiagnosisRow.id == ImageRow.shown_id)
        .where(DiagnosisRow.urgency == Urgency.RETAKE.value)
        .order_by(ImageRow.id.desc())
        .limit(limit)
    )
    if sites is not None:
        query = query.where(ImageRow.site.in_(sites))
    return [RetakeLine(**row._mapping) for row in connection.execute(query)]


def newest_fields(connection: Connection, keys: Sequence[CaseKey]) -> list[NewestField]:
    """The newest field with a full result of each case, and the attempt that it came by."""
    filed = [key.case_id for key in keys if key.is_filed]
    alone = [key.image_id for key in keys if not key.is_filed]
    wanted = set(keys)
    found: dict[CaseKey, NewestField] = {}
    for row in connection.execute(
        select(ImageRow.site, ImageRow.case_id, ImageRow.image_id, DiagnosisRow.attempt)
        .join(DiagnosisRow, DiagnosisRow.id == ImageRow.shown_id)
        .where(or_(ImageRow.case_id.in_(filed), ImageRow.image_id.in_(alone)))
        .order_by(ImageRow.id)
    ):
        key = case_key(row.site, row.case_id, row.image_id)
        if key in wanted:
            found[key] = NewestField(key.text, row.image_id, row.attempt)
    return list(found.values())


def has_seen_ai(connection: Connection, smear_case_id: int, account: str) -> bool:
    """Whether this account was ever shown what the AI says of this case."""
    found = connection.execute(
        select(ReadingRow.ai_seen_at).where(
            ReadingRow.smear_case_id == smear_case_id, ReadingRow.account == account
        )
    ).scalar()
    return bool(found)


def count(connection: Connection, query: Select[Any]) -> tuple[int, int]:
    """How many cases a worklist has, and how many of them nobody has opened."""
    inner = query.order_by(None).subquery()
    row = connection.execute(
        select(
            func.count(),
            func.count().filter(or_(inner.c.opened_at == "", inner.c.opened_at.is_(None))),
        ).select_from(inner)
    ).one()
    return int(row[0]), int(row[1])


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
