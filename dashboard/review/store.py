"""Loads and extends a case's review inside a transaction whose caller has locked the case; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from dashboard.cases.case_rows import is_open, rank_of
from dashboard.cases.feed import ChangeKind, append_changes
from dashboard.cases.keys import CaseKey
from dashboard.cases.tables import CaseRow
from dashboard.review.events import AnyEvent, Placed, RetakeAnswered, RetakeAsked
from dashboard.review.events import read_event as _read
from dashboard.review.machine import Review, apply, fold, settle
from dashboard.review.tables import ReviewEventRow
from service_runtime.boot import wall_time
from wire_protocol.json_messages import DiagnosisStatus


def load_review(connection: Connection, smear_case_id: int) -> Review:
    """The review of a case as all its events make it."""
    return load_reviews(connection, [smear_case_id])[smear_case_id]


def load_reviews(connection: Connection, smear_case_ids: Sequence[int]) -> dict[int, Review]:
    """The reviews of several cases, by the ids of their rows."""
    events: dict[int, list[AnyEvent]] = {one: [] for one in smear_case_ids}
    rows = connection.execute(
        select(ReviewEventRow.smear_case_id, ReviewEventRow.body)
        .where(ReviewEventRow.smear_case_id.in_(smear_case_ids))
        .order_by(ReviewEventRow.number)
    )
    for row in rows:
        events[row.smear_case_id].append(_read(row.body))
    return {one: fold(told) for one, told in events.items()}


def extend(
    connection: Connection, case: Row[Any], review: Review, event: AnyEvent
) -> tuple[Review, int]:
    """Writes one more event, what the case's row says of the review, and a change; returns the
    review after it and the change's id."""
    after = apply(review, event)
    key = CaseKey(case.site, case.case_id, case.image_id)
    at = time_of(event.at_ms)
    is_retake = isinstance(event, RetakeAsked | RetakeAnswered)
    kind = ChangeKind.RETAKE if is_retake else ChangeKind.REVIEW
    change_id = append_changes(connection, [(kind, case.site, key.text)], at)
    connection.execute(
        insert(ReviewEventRow).values(
            smear_case_id=case.id,
            number=after.number,
            kind=event.kind,
            by=event.by,
            at=at,
            change_id=change_id,
            body=event.model_dump_json(),
        )
    )
    connection.execute(
        update(CaseRow).where(CaseRow.id == case.id).values(review_columns(case, after))
    )
    return after, change_id


def settled(connection: Connection, case: Row[Any], review: Review, now_ms: int) -> Review:
    """The review with the signature that time has made meanwhile."""
    signed = settle(review, now_ms)
    return review if signed is None else extend(connection, case, review, signed)[0]


def review_columns(case: Row[Any], review: Review) -> dict[str, Any]:
    """What the case's row says of its review."""
    signature = review.signature
    stands = signature if review.status is not DiagnosisStatus.ENTERED_IN_ERROR else None
    finding = stands.placed.finding if stands is not None else None
    signed_fields = len(signature.placed.ai.image_ids) if signature is not None else 0
    open_now = is_open(
        review.status, case.fields + case.retakes, signed_fields, previews=case.previews
    )
    said = finding.value if finding is not None else ""
    return {
        "review_number": review.number,
        "review_version": review.version,
        "review_status": review.status.value,
        "finding": said,
        "signed_by": signature.placed.by if signature is not None else "",
        "signed_at": time_of(signature.signed_at_ms) if signature is not None else "",
        "signed_fields": signed_fields,
        "held_by": review.held.by if review.held is not None else "",
        "held_due_ms": review.held.due_ms if review.held is not None else None,
        "referred_to": review.referral.to if review.referral is not None else None,
        "retake": _retake_word(review),
        "is_open": open_now,
        "rank": rank_of(said, case.urgency_rank, still_open=open_now),
    }


def waiting_signatures(connection: Connection, now_ms: int) -> list[Row[Any]]:
    """The cases whose answers are to be signed by now, locked."""
    return list(
        connection.execute(
            select(CaseRow.__table__)
            .where(CaseRow.held_due_ms <= now_ms)
            .order_by(CaseRow.id)
            .with_for_update()
        )
    )


def settle_all(connection: Connection, now_ms: int) -> int:
    """Signs every answer whose time for an undo has passed; returns how many."""
    rows = waiting_signatures(connection, now_ms)
    for row in rows:
        settled(connection, row, load_review(connection, row.id), now_ms)
    return len(rows)


def time_of(at_ms: int) -> str:
    """Unix milliseconds as RFC 3339 text."""
    return wall_time(datetime.fromtimestamp(at_ms / 1000, UTC))


def last_placed(review: Review) -> Placed | None:
    """The newest answer, signed or not."""
    if review.held is not None:
        return review.held
    return review.signature.placed if review.signature is not None else None


def _retake_word(review: Review) -> str:
    if review.retake is None:
        return ""
    if review.retake_answer is None:
        return "asked"
    return "done" if review.retake_answer.ok else "refused"
