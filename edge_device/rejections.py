"""Rejections in words, from outbox rows and from workers' reasons; it publishes nothing."""

from __future__ import annotations

from edge_device.outbox.rows import OutboxRow, Refusal
from wire_protocol.json_messages import Reason, Rejection
from wire_protocol.messages import Outcome

_WORDS = {
    Reason.DAMAGED_ON_DEVICE: "Damaged on the device",
    Reason.CRASHES_DECODER: "Crashes the decoder",
    Reason.TOO_LARGE: "Too large",
    Reason.DECODE: "Cannot be read as an image",
}


def refusal_for(reason: str, detail: str) -> Refusal:
    """The refusal for an image that the transfer ended (`machine_io.RejectOnDevice`)."""
    known = Reason(reason)
    words = _WORDS.get(known, "Refused by the worker")
    return Refusal(known, f"{words}: {detail}."[:360].rstrip(".") + ". Take the field again.")


def rejection_of(row: OutboxRow, site: str, device: str) -> Rejection | None:
    """The message, or None for a row that was not refused here."""
    if row.refusal is None:
        return None
    return Rejection(
        text=row.refusal.text[:400],
        site=site,
        device=device,
        image_id=row.image_id,
        outbox_id=row.outbox_id,
        seq=row.seq,
        image_sha256=row.sha256,
        reason=row.refusal.reason,
        score=row.refusal.score,
        limit=row.refusal.limit,
        case_id=row.case_id,
        captured_at=row.captured_at,
        outcome=Outcome.DROPPED if row.refusal.operator else Outcome.REJECTED,
        operator=row.refusal.operator,
    )
