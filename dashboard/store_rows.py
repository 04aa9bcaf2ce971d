"""Reads and writes the rows of a batch of reports inside a transaction that `store` began; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, tuple_, update

from dashboard.identity import (
    KEPT,
    NEEDS_BLOB,
    SET_ASIDE,
    Identity,
    Ledger,
    Mode,
    ReportKey,
    Verdict,
)
from dashboard.refiles import settle_cases
from dashboard.reports import Report
from dashboard.schema import DiagnosisRow, ImageRow, SetAsideRow
from wire_protocol.messages import Inquiry, InquiryAnswer, Outcome, Recorded


def load_ledger(connection: Connection, reports: Sequence[Report]) -> Ledger:
    """The facts that these reports can touch."""
    ledger = Ledger()
    if not reports:
        return ledger
    ids = {report.identity.image_id for report in reports}
    places = {report.identity.place for report in reports}
    columns = (
        ImageRow.image_id, ImageRow.sha256, ImageRow.outbox_id, ImageRow.seq, ImageRow.outcome
    )  # fmt: skip
    queries = (
        select(*columns).where(ImageRow.image_id.in_(ids)),
        select(*columns).where(tuple_(ImageRow.outbox_id, ImageRow.seq).in_(places)),
    )
    for query in queries:
        for row in connection.execute(query):
            identity = Identity(row.image_id, row.sha256, row.outbox_id, row.seq)
            ledger.learn(identity, Outcome(row.outcome))
    keys = select(
        DiagnosisRow.image_id, DiagnosisRow.sha256, DiagnosisRow.bundle, DiagnosisRow.mode
    ).where(DiagnosisRow.image_id.in_(ids))
    for image_id, sha256, bundle, mode in connection.execute(keys):
        ledger.keys.add(ReportKey(image_id, sha256, bundle, Mode(mode)))
    return ledger


def write_reports(
    connection: Connection, decided: Sequence[tuple[Report, Verdict]], at: str
) -> None:
    """Keeps what is to be kept, with an image row for each first report, and sets the rest aside."""
    for report, verdict in decided:
        if verdict in SET_ASIDE:
            _set_aside(connection, report, verdict, at)
    kept = [(report, verdict) for report, verdict in decided if verdict in KEPT]
    if not kept:
        return
    ids = connection.execute(
        insert(DiagnosisRow).returning(DiagnosisRow.id, sort_by_parameter_order=True),
        [_diagnosis_values(report, at) for report, _ in kept],
    ).scalars()
    images = [
        _image_values(report, shown_id, at)
        for (report, verdict), shown_id in zip(kept, ids, strict=True)
        if verdict is Verdict.FIRST
    ]
    if images:
        connection.execute(insert(ImageRow), images)
        settle_cases(connection, [str(image["image_id"]) for image in images])


def _diagnosis_values(report: Report, at: str) -> dict[str, object]:
    return {
        "image_id": report.identity.image_id,
        "sha256": report.identity.sha256,
        "bundle": report.bundle,
        "mode": report.mode.value,
        "engine": report.engine,
        "result": report.result,
        "reason": report.reason,
        "urgency": report.urgency,
        "urgency_rank": report.urgency_rank,
        "text": report.text,
        "gate_override": report.gate_override,
        "override_reason": report.override_reason,
        "probabilities": report.probabilities,
        "training_data": report.training_data,
        "worker": report.worker,
        "attempt": report.attempt,
        "operator": report.operator,
        "recorded_at": at,
        "body": report.body,
    }


def _image_values(report: Report, shown_id: int, at: str) -> dict[str, object]:
    assert report.outcome is not None
    return {
        "site": report.site,
        "device": report.device,
        "image_id": report.identity.image_id,
        "sha256": report.identity.sha256,
        "outbox_id": report.identity.outbox_id,
        "seq": report.identity.seq,
        "outcome": report.outcome.value,
        "has_blob": report.mode in NEEDS_BLOB,
        "case_id": report.case_id,
        "captured_at": report.captured_at,
        "recorded_at": at,
        "shown_id": shown_id,
    }


def _set_aside(connection: Connection, report: Report, verdict: Verdict, at: str) -> None:
    identity = report.identity
    same = (
        (SetAsideRow.verdict == verdict.value)
        & (SetAsideRow.device == report.device)
        & (SetAsideRow.image_id == identity.image_id)
        & (SetAsideRow.sha256 == identity.sha256)
        & (SetAsideRow.outbox_id == identity.outbox_id)
        & (SetAsideRow.seq == identity.seq)
    )
    again = update(SetAsideRow).where(same).values(times=SetAsideRow.times + 1, last_at=at)
    if connection.execute(again).rowcount:
        return
    connection.execute(
        insert(SetAsideRow).values(
            verdict=verdict.value,
            site=report.site,
            device=report.device,
            image_id=identity.image_id,
            sha256=identity.sha256,
            outbox_id=identity.outbox_id,
            seq=identity.seq,
            times=1,
            first_at=at,
            last_at=at,
            body=report.body,
        )
    )


def answer_inquiry(connection: Connection, inquiry: Inquiry, store_id: str) -> InquiryAnswer:
    """Known means: an image of that outbox with a committed outcome."""
    rows = connection.execute(
        select(ImageRow.image_id, ImageRow.sha256, ImageRow.outcome).where(
            ImageRow.image_id.in_(inquiry.image_ids), ImageRow.outbox_id == inquiry.outbox_id
        )
    )
    known = {
        row.image_id: Recorded(
            image_id=row.image_id,
            sha256=row.sha256,
            outcome=Outcome(row.outcome),
            store_id=store_id,
        )
        for row in rows
    }
    asked = tuple(dict.fromkeys(inquiry.image_ids))
    return InquiryAnswer(
        inquiry_id=inquiry.inquiry_id,
        store_id=store_id,
        known=tuple(known[image_id] for image_id in asked if image_id in known),
        unknown=tuple(image_id for image_id in asked if image_id not in known),
    )
