"""The questions that the desk asks its tables; what comes back is turned into views elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.tables import CaseRow
from dashboard.review.views import NewestField, RetakeLine
from dashboard.schema import DiagnosisRow, ImageRow
from wire_protocol.json_messages import Urgency

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
