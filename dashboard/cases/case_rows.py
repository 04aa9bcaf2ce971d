"""Keeps the row of each case in step with its fields, inside the transaction that changed them; it decides no result.

`combine` decides; the review's columns belong to the desk and are only read here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select, update

from dashboard.cases.combine import CaseResult, combine
from dashboard.cases.feed import ChangeKind, append_changes
from dashboard.cases.field_rows import CaseField, read_fields
from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.settings import CaseSettings
from dashboard.cases.tables import CaseRow
from dashboard.cases.words import case_text
from dashboard.review.findings import FINDING_RANK
from dashboard.schema import ImageRow
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus
from wire_protocol.manifest import UNFILED

_AT_ONCE = 200


def touch_cases(
    connection: Connection, keys: Collection[CaseKey], settings: CaseSettings, at: str
) -> None:
    """Works out these cases again and tells the feed of each."""
    ordered = sorted(set(keys))
    if not ordered:
        return
    fields = read_fields(connection, ordered)
    known = lock_cases(connection, ordered)
    fresh = []
    for key in ordered:
        row = known.get(key)
        values = _values(key, fields[key], settings, at)
        if row is None:
            if fields[key]:
                rank = values["urgency_rank"]
                fresh.append(_names(key) | values | {"is_open": True, "rank": rank})
            continue
        status = DiagnosisStatus(row.review_status)
        values["is_open"] = is_open(
            status,
            values["fields"] + values["retakes"],
            row.signed_fields,
            previews=values["previews"],
        )
        rank = values.get("urgency_rank", row.urgency_rank)
        values["rank"] = rank_of(row.finding, rank, still_open=values["is_open"])
        connection.execute(update(CaseRow).where(CaseRow.id == row.id).values(values))
    if fresh:
        connection.execute(insert(CaseRow), fresh)
    append_changes(connection, [(ChangeKind.CASE, key.site, key.text) for key in ordered], at)


def lock_cases(connection: Connection, keys: Sequence[CaseKey]) -> dict[CaseKey, Row[Any]]:
    """The rows of these cases, locked in one order until the transaction ends."""
    return find_cases(connection, keys, lock=True)


def find_cases(
    connection: Connection, keys: Sequence[CaseKey], *, lock: bool = False
) -> dict[CaseKey, Row[Any]]:
    """The rows of those of these cases that there are."""
    found: dict[CaseKey, Row[Any]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        filed = [key for key in some if key.is_filed]
        alone = [key for key in some if not key.is_filed]
        conditions = [
            (filed, and_(CaseRow.case_id.in_([k.case_id for k in filed]), CaseRow.image_id == "")),
            (
                alone,
                and_(CaseRow.case_id == UNFILED, CaseRow.image_id.in_([k.image_id for k in alone])),
            ),
        ]
        for named, condition in conditions:
            if not named:
                continue
            sites = CaseRow.site.in_({key.site for key in named})
            query = select(CaseRow.__table__).where(sites, condition).order_by(CaseRow.id)
            for row in connection.execute(query.with_for_update() if lock else query):
                found[CaseKey(row.site, row.case_id, row.image_id)] = row
    return found


def is_open(status: DiagnosisStatus, fields: int, signed_fields: int, *, previews: int = 0) -> bool:
    """Whether a person is still needed: nothing is signed, or fields came since."""
    if fields == 0:
        return previews > 0
    if status in (DiagnosisStatus.FINAL, DiagnosisStatus.AMENDED):
        return fields > signed_fields
    return True


def rank_of(finding: str, urgency_rank: int, *, still_open: bool) -> int:
    """The order of work: what a person signed; of a case that is open again, the more urgent of
    that and of what the AI says now."""
    if not finding:
        return urgency_rank
    signed = FINDING_RANK[Finding(finding)]
    return min(signed, urgency_rank) if still_open else signed


def case_keys(connection: Connection, image_ids: Collection[str]) -> set[CaseKey]:
    """The cases that these images belong to now."""
    rows = connection.execute(
        select(ImageRow.site, ImageRow.case_id, ImageRow.image_id).where(
            ImageRow.image_id.in_(image_ids)
        )
    )
    return {case_key(row.site, row.case_id, row.image_id) for row in rows}


def make_all_cases(connection: Connection, settings: CaseSettings, at: str) -> None:
    """The rows of every image that was recorded before there were cases."""
    rows = connection.execute(
        select(ImageRow.site, ImageRow.case_id, ImageRow.image_id).order_by(ImageRow.id)
    )
    keys = list(dict.fromkeys(case_key(row.site, row.case_id, row.image_id) for row in rows))
    for start in range(0, len(keys), _AT_ONCE):
        touch_cases(connection, keys[start : start + _AT_ONCE], settings, at)


def _names(key: CaseKey) -> dict[str, Any]:
    return {"site": key.site, "case_id": key.case_id, "image_id": key.image_id}


def _values(
    key: CaseKey, fields: Sequence[CaseField], settings: CaseSettings, at: str
) -> dict[str, Any]:
    if not fields:  # all of them were moved to other cases
        counts = dict.fromkeys(("fields", "retakes", "previews", "summed", "acute_fields"), 0)
        return {**counts, "last_recorded_at": at}
    result = combine([field.result for field in fields], settings)
    leading = next(field for field in fields if field.result.image_id == result.leading)
    return {
        "device": fields[-1].device,
        "fields": result.fields,
        "retakes": result.retakes,
        "previews": result.previews,
        "summed": result.summed,
        "acute_fields": result.acute_fields,
        "white_cells": result.white_cells,
        "result": result.result,
        "reason": result.reason,
        "urgency": result.urgency.value,
        "urgency_rank": result.rank,
        "text": _text(key, result, leading, settings),
        "probabilities": result.probabilities,
        "running": result.running,
        "p_acute": result.p_acute,
        "leading_image_id": leading.result.image_id,
        "leading_sha256": leading.sha256 if leading.has_blob else "",
        "bundle": result.bundle,
        "training_data": leading.training_data,
        "first_captured_at": min(field.captured_at for field in fields),
        "first_recorded_at": min(field.recorded_at for field in fields),
        "last_recorded_at": max(field.recorded_at for field in fields),
    }


def _text(key: CaseKey, result: CaseResult, leading: CaseField, settings: CaseSettings) -> str:
    """An unfiled field speaks for itself."""
    if not key.is_filed:
        return leading.text
    synthetic = leading.training_data == "synthetic"
    return case_text(result, key.case_id, synthetic=synthetic, settings=settings)
