"""How unlike the training images the fields of each day were; it says that something moved, not what."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, select

from dashboard.identity import Mode
from dashboard.schema import DiagnosisRow, ImageRow
from wire_protocol.json_messages import Reason

#: Fields that are looked at, the newest ones.
MOST_FIELDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class DriftDay:
    """The fields of one day (UTC, by the store's clock)."""

    day: str
    fields: int
    #: Of the score's percentile among the calibration images; None where no field had one.
    median: float | None
    p90: float | None
    #: Fields that were refused as out of distribution.
    foreign: int
    bundles: dict[str, int] = field(default_factory=dict)


def read_drift(connection: Connection, *, site: str | None, days: int) -> list[DriftDay]:
    """The last `days` days that have fields, the oldest first."""
    query = (
        select(
            DiagnosisRow.recorded_at, DiagnosisRow.reason, DiagnosisRow.bundle, DiagnosisRow.body
        )
        .join(ImageRow, ImageRow.shown_id == DiagnosisRow.id)
        .where(DiagnosisRow.mode == Mode.FULL.value)
        .order_by(DiagnosisRow.id.desc())
        .limit(MOST_FIELDS)
    )
    if site is not None:
        query = query.where(ImageRow.site == site)
    scores: dict[str, list[float]] = {}
    fields: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    bundles: dict[str, Counter[str]] = {}
    for row in connection.execute(query):
        day = row.recorded_at[:10]
        if day not in fields and len(fields) == days:
            break
        fields[day] += 1
        foreign[day] += row.reason == Reason.OUT_OF_DISTRIBUTION
        bundles.setdefault(day, Counter())[row.bundle] += 1
        score = json.loads(row.body).get("ood_percentile")
        if score is not None:
            scores.setdefault(day, []).append(float(score))
    return [
        DriftDay(
            day,
            fields[day],
            _quantile(scores.get(day, []), 0.5),
            _quantile(scores.get(day, []), 0.9),
            foreign[day],
            dict(bundles[day]),
        )
        for day in sorted(fields)
    ]


def _quantile(values: list[float], q: float) -> float | None:
    """The value at or above which 1 - q of them lie; nearest rank."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
