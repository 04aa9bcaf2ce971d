"""How long cases wait: from the record of their first field to the first person who opens them, and to the signature.

The trace's last two stages, `opened` and `signed`, are a person's: they are told in seconds of the
store's wall clock, apart from the milliseconds that the programs take.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from dashboard.cases.tables import CaseRow

#: Cases that are looked at, the newest ones.
MOST_CASES: Final = 2000


@dataclass(frozen=True, slots=True)
class Waits:
    """Of so many cases, in seconds; None of none."""

    cases: int
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Of the cases of one urgency, as the AI said it."""

    urgency: str
    opened: Waits
    signed: Waits
    #: Nobody has opened them yet.
    unread: int


def read_turnaround(connection: Connection, *, site: str | None) -> list[Turnaround]:
    """By urgency, the most urgent first."""
    query = (
        select(
            CaseRow.urgency,
            CaseRow.urgency_rank,
            CaseRow.first_recorded_at,
            CaseRow.opened_at,
            CaseRow.signed_at,
        )
        .where(CaseRow.fields > 0)
        .order_by(CaseRow.id.desc())
        .limit(MOST_CASES)
    )
    if site is not None:
        query = query.where(CaseRow.site == site)
    rows = connection.execute(query).all()
    found = []
    for _, urgency in sorted({(row.urgency_rank, row.urgency) for row in rows}):
        ours = [row for row in rows if row.urgency == urgency]
        found.append(
            Turnaround(
                urgency,
                _waits((row.first_recorded_at, row.opened_at) for row in ours),
                _waits((row.first_recorded_at, row.signed_at) for row in ours),
                sum(not row.opened_at for row in ours),
            )
        )
    return found


def _waits(spans: Iterable[tuple[str, str]]) -> Waits:
    seconds = sorted(
        max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
        for start, end in spans
        if end
    )
    return Waits(len(seconds), _quantile(seconds, 0.5), _quantile(seconds, 0.9))


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None
