"""Everything that tells how the AI is doing, read together; figures without cases, and no advice."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from dashboard.review.agreement import Agreement, agreement
from dashboard.review.drift import DriftDay, read_drift
from dashboard.review.signed import read_reviews
from dashboard.review.turnaround import Turnaround, read_turnaround


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one site, or of all."""

    #: Readers who had not seen the AI's answer.
    unseen: Agreement
    #: Readers who had.
    seen: Agreement
    #: How unlike the training images each day's fields were, the oldest day first.
    drift: tuple[DriftDay, ...]
    #: How long cases wait to be opened and to be signed, the most urgent first.
    turnaround: tuple[Turnaround, ...]


def read_figures(connection: Connection, *, site: str | None, days: int) -> Figures:
    """Reads them; `days` is how far drift goes back."""
    unseen, seen = agreement(read_reviews(connection, site))
    return Figures(
        unseen,
        seen,
        tuple(read_drift(connection, site=site, days=days)),
        tuple(read_turnaround(connection, site=site)),
    )
