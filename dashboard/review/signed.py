"""Reads what people signed, case by case, for data sets and figures; withdrawn reports count for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from dashboard.cases.field_rows import CaseField, read_fields
from dashboard.cases.keys import CaseKey
from dashboard.cases.tables import CaseRow
from dashboard.review.machine import Review, Signature
from dashboard.review.store import load_reviews
from wire_protocol.json_messages import DiagnosisStatus

_AT_ONCE = 100
#: Older ones are left out of the figures.
MOST_REVIEWS = 20_000


@dataclass(frozen=True, slots=True)
class SignedCase:
    """A case, every signature that it ever had, and the fields that it has now."""

    key: CaseKey
    review: Review
    fields: tuple[CaseField, ...]

    @property
    def standing(self) -> Signature | None:
        """The signature that counts; None where the report was withdrawn."""
        if self.review.status is DiagnosisStatus.ENTERED_IN_ERROR:
            return None
        return self.review.signature

    def signed_fields(self) -> list[CaseField]:
        """The fields that the person saw and that still belong to the case."""
        signature = self.standing
        if signature is None:
            return []
        seen = set(signature.placed.ai.image_ids)
        return [field for field in self.fields if field.result.image_id in seen]


def read_signed(connection: Connection, site: str | None = None) -> list[SignedCase]:
    """Every case that was ever signed, the oldest first."""
    query = select(CaseRow.__table__).where(CaseRow.signed_at != "").order_by(CaseRow.id)
    if site is not None:
        query = query.where(CaseRow.site == site)
    rows: list[Row[Any]] = list(connection.execute(query))
    found = []
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        keys = [CaseKey(row.site, row.case_id, row.image_id) for row in some]
        fields = read_fields(connection, keys)
        reviews = load_reviews(connection, [row.id for row in some])
        for row, key in zip(some, keys, strict=True):
            found.append(SignedCase(key, reviews[row.id], tuple(fields[key])))
    return found


def read_reviews(connection: Connection, site: str | None = None) -> list[Review]:
    """The reviews of the newest MOST_REVIEWS cases that were ever signed, without their fields."""
    query = select(CaseRow.id).where(CaseRow.signed_at != "").order_by(CaseRow.id.desc())
    if site is not None:
        query = query.where(CaseRow.site == site)
    ids = list(connection.execute(query.limit(MOST_REVIEWS)).scalars())
    found: list[Review] = []
    for start in range(0, len(ids), _AT_ONCE):
        found += load_reviews(connection, ids[start : start + _AT_ONCE]).values()
    return found
