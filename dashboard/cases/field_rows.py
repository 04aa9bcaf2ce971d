"""Reads the kept reports of a case's fields into what `combine` takes; it guesses nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    false,
    insert,
    literal,
    or_,
    select,
)

from dashboard.cases.combine import FieldResult, Limits
from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.tables import PreviewRow
from dashboard.identity import Mode
from dashboard.reports import Report
from dashboard.schema import DiagnosisRow, ImageRow
from wire_protocol.json_messages import Urgency
from wire_protocol.manifest import UNFILED
from wire_protocol.messages import Outcome

#: Names in one query; more are asked for in several.
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class CaseField:
    """A field of a case: its result, and what the store knows of its picture."""

    result: FieldResult
    site: str
    device: str
    sha256: str
    outbox_id: str
    seq: int
    outcome: Outcome
    has_blob: bool
    captured_at: str
    recorded_at: str
    text: str
    training_data: str
    engine: str
    worker: str
    #: The whole message as it came.
    body: dict[str, Any]

    @property
    def is_preview(self) -> bool:
        """Whether only a preview has come."""
        return self.result.is_preview


_SHOWN = (
    select(
        ImageRow.site,
        ImageRow.device,
        ImageRow.image_id,
        ImageRow.sha256,
        ImageRow.outbox_id,
        ImageRow.seq,
        ImageRow.outcome,
        ImageRow.has_blob,
        ImageRow.case_id,
        ImageRow.captured_at,
        ImageRow.recorded_at,
        DiagnosisRow.bundle,
        DiagnosisRow.engine,
        DiagnosisRow.result,
        DiagnosisRow.reason,
        DiagnosisRow.urgency,
        DiagnosisRow.text,
        DiagnosisRow.probabilities,
        DiagnosisRow.training_data,
        DiagnosisRow.worker,
        DiagnosisRow.body,
    )
    .join(DiagnosisRow, DiagnosisRow.id == ImageRow.shown_id)
    .order_by(ImageRow.id)
)


_PREVIEWS = (
    select(
        PreviewRow.site,
        PreviewRow.device,
        PreviewRow.image_id,
        DiagnosisRow.sha256,
        PreviewRow.outbox_id,
        PreviewRow.seq,
        literal(Outcome.DIAGNOSED.value).label("outcome"),
        false().label("has_blob"),
        PreviewRow.case_id,
        PreviewRow.captured_at,
        PreviewRow.recorded_at,
        DiagnosisRow.bundle,
        DiagnosisRow.engine,
        DiagnosisRow.result,
        DiagnosisRow.reason,
        DiagnosisRow.urgency,
        DiagnosisRow.text,
        DiagnosisRow.probabilities,
        DiagnosisRow.training_data,
        DiagnosisRow.worker,
        DiagnosisRow.body,
    )
    .join(DiagnosisRow, DiagnosisRow.id == PreviewRow.diagnosis_id)
    .order_by(PreviewRow.recorded_at, PreviewRow.image_id)
)


def read_fields(connection: Connection, keys: Sequence[CaseKey]) -> dict[CaseKey, list[CaseField]]:
    """The shown report of each image of these cases, in the order they were recorded."""
    found: dict[CaseKey, list[CaseField]] = {key: [] for key in keys}
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        filed = [key.case_id for key in some if key.is_filed]
        alone = [key.image_id for key in some if not key.is_filed]
        unfiled = and_(ImageRow.image_id.in_(alone), ImageRow.case_id == UNFILED)
        for named, condition in ((filed, ImageRow.case_id.in_(filed)), (alone, unfiled)):
            if not named:
                continue
            for row in connection.execute(_SHOWN.where(condition)):
                key = case_key(row.site, row.case_id, row.image_id)
                if key in found:
                    found[key].append(_field(row))
        for row in connection.execute(_PREVIEWS.where(_preview_of(filed, alone))):
            key = case_key(row.site, row.case_id, row.image_id)
            if key in found:
                found[key].append(_field(row, is_preview=True))
    return found


def put_previews(connection: Connection, reports: Sequence[Report], at: str) -> set[CaseKey]:
    """Remembers the fields of which only a preview has come; the cases they are in."""
    touched = set()
    for report in reports:
        image_id = report.identity.image_id
        whole = select(ImageRow.id).where(ImageRow.image_id == image_id)
        known = select(PreviewRow.image_id).where(PreviewRow.image_id == image_id)
        if connection.execute(whole).first() or connection.execute(known).first():
            continue
        said = connection.execute(
            select(DiagnosisRow.id)
            .where(DiagnosisRow.image_id == image_id, DiagnosisRow.mode == Mode.PREVIEW.value)
            .order_by(DiagnosisRow.id)
        ).scalars()
        connection.execute(
            insert(PreviewRow).values(
                image_id=image_id,
                site=report.site,
                device=report.device,
                case_id=report.case_id,
                outbox_id=report.identity.outbox_id,
                seq=report.identity.seq,
                captured_at=report.captured_at,
                recorded_at=at,
                diagnosis_id=said.first(),
            )
        )
        touched.add(case_key(report.site, report.case_id, image_id))
    return touched


def end_previews(connection: Connection, image_ids: Sequence[str]) -> set[CaseKey]:
    """These images are recorded: their previews stand for nothing any more; the cases they were in."""
    if not image_ids:
        return set()
    rows = connection.execute(
        delete(PreviewRow)
        .where(PreviewRow.image_id.in_(image_ids))
        .returning(PreviewRow.site, PreviewRow.case_id, PreviewRow.image_id)
    )
    return {case_key(row.site, row.case_id, row.image_id) for row in rows}


def _preview_of(filed: Sequence[str], alone: Sequence[str]) -> ColumnElement[bool]:
    unfiled = and_(PreviewRow.image_id.in_(alone), PreviewRow.case_id == UNFILED)
    return or_(PreviewRow.case_id.in_(filed), unfiled)


def read_shown(connection: Connection, image_ids: Sequence[str]) -> dict[str, CaseField]:
    """The shown reports of these images, by image id."""
    found: dict[str, CaseField] = {}
    for start in range(0, len(image_ids), _AT_ONCE):
        some = image_ids[start : start + _AT_ONCE]
        for row in connection.execute(_SHOWN.where(ImageRow.image_id.in_(some))):
            found[row.image_id] = _field(row)
    return found


def _field(row: Any, *, is_preview: bool = False) -> CaseField:
    body: dict[str, Any] = json.loads(row.body)
    return CaseField(
        result=FieldResult(
            image_id=row.image_id,
            urgency=Urgency(row.urgency),
            result=row.result,
            reason=row.reason,
            bundle=row.bundle,
            probabilities=_heard(row.probabilities),
            limits=_limits(body),
            white_cells=body.get("white_cells"),
            is_preview=is_preview,
        ),
        site=row.site,
        device=row.device,
        sha256=row.sha256,
        outbox_id=row.outbox_id,
        seq=row.seq,
        outcome=Outcome(row.outcome),
        has_blob=row.has_blob,
        captured_at=row.captured_at,
        recorded_at=row.recorded_at,
        text=row.text,
        training_data=row.training_data,
        engine=row.engine,
        worker=row.worker,
        body=body,
    )


def _heard(told: dict[str, float | None]) -> dict[str, float] | None:
    """All probabilities, or None where one is null: then none of them may be heard."""
    known = {key: float(p) for key, p in told.items() if p is not None}
    return known if known and len(known) == len(told) else None


def _limits(body: dict[str, Any]) -> Limits | None:
    numbers = [body.get(name) for name in ("t_acute", "t_chronic", "abstention")]
    acute, chronic = body.get("acute_classes"), body.get("chronic_classes")
    if acute is None or chronic is None or not all(isinstance(n, int | float) for n in numbers):
        return None
    t_acute, t_chronic, abstention = (float(n) for n in numbers if n is not None)
    return Limits(tuple(acute), tuple(chronic), t_acute, t_chronic, abstention)
