"""Reads what the store holds, for commands, the demo and checkers; it changes nothing and guesses nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from dashboard.engine import open_engine
from dashboard.schema import DiagnosisRow, ImageRow, SetAsideRow, StoreRow


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """An image, its one outcome, and the report that people see."""

    site: str
    device: str
    image_id: str
    sha256: str
    outbox_id: str
    seq: int
    outcome: str
    has_blob: bool
    case_id: str
    captured_at: str
    recorded_at: str
    result: str
    reason: str
    urgency: str
    urgency_rank: int
    text: str
    probabilities: dict[str, float | None]
    bundle: str
    engine: str
    training_data: str
    operator: str
    #: Reports about this image, with the one that is shown.
    reports: int


@dataclass(frozen=True, slots=True)
class AsideRow:
    """A report that was set aside, and how often it came."""

    verdict: str
    site: str
    device: str
    image_id: str
    sha256: str
    outbox_id: str
    seq: int
    times: int
    first_at: str
    last_at: str


def read_outcomes(url: str) -> list[OutcomeRow]:
    """Every image of the store at `url` by device, outbox and seq; raises StoreError."""
    reports = (
        select(DiagnosisRow.image_id, func.count().label("reports"))
        .group_by(DiagnosisRow.image_id)
        .subquery()
    )
    query = (
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
            DiagnosisRow.result,
            DiagnosisRow.reason,
            DiagnosisRow.urgency,
            DiagnosisRow.urgency_rank,
            DiagnosisRow.text,
            DiagnosisRow.probabilities,
            DiagnosisRow.bundle,
            DiagnosisRow.engine,
            DiagnosisRow.training_data,
            DiagnosisRow.operator,
            reports.c.reports,
        )
        .join(DiagnosisRow, DiagnosisRow.id == ImageRow.shown_id)
        .join(reports, reports.c.image_id == ImageRow.image_id)
        .order_by(ImageRow.device, ImageRow.outbox_id, ImageRow.seq)
    )
    engine = open_engine(url, read_only=True)
    try:
        with engine.begin() as connection:
            return [OutcomeRow(**row._mapping) for row in connection.execute(query)]
    finally:
        engine.dispose()


def read_set_aside(url: str) -> list[AsideRow]:
    """Every report that was set aside, oldest first; raises StoreError."""
    query = select(
        SetAsideRow.verdict,
        SetAsideRow.site,
        SetAsideRow.device,
        SetAsideRow.image_id,
        SetAsideRow.sha256,
        SetAsideRow.outbox_id,
        SetAsideRow.seq,
        SetAsideRow.times,
        SetAsideRow.first_at,
        SetAsideRow.last_at,
    ).order_by(SetAsideRow.id)
    engine = open_engine(url, read_only=True)
    try:
        with engine.begin() as connection:
            return [AsideRow(**row._mapping) for row in connection.execute(query)]
    finally:
        engine.dispose()


def read_store_id(url: str) -> str:
    """Which store this is; raises StoreError."""
    engine = open_engine(url, read_only=True)
    try:
        with engine.begin() as connection:
            return str(connection.execute(select(StoreRow.store_id)).scalar_one())
    finally:
        engine.dispose()
