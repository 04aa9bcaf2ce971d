"""What people do to images in the outbox: retry, purge, send anyway, file elsewhere; no deed without a name.

Every function is one transaction on the writer thread and takes the name of who asked. An
unrecorded image that is purged or dropped ends as the outcome `dropped` under that name: its row
stays until the records store has it, its bytes go at once, since the wish was for room. The
program then tells the sender (`Transfer.take` or `Transfer.retry`) of the rows that come back.
(Just over 250 lines: all that people may do in one place.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from edge_device.outbox.audit import append_audit, audit, read_audit
from edge_device.outbox.image_files import DamagedError
from edge_device.outbox.listing import Exported, Listed, export, list_rows
from edge_device.outbox.outbox import Outbox
from edge_device.outbox.rows import OutboxRow
from service_runtime.boot import new_id, wall_time
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import OverrideReason, Priority

__all__ = [
    "DeskError",
    "Exported",
    "Listed",
    "Purged",
    "audit",
    "drop_aged",
    "drop_oldest",
    "export",
    "list_rows",
    "purge",
    "read_audit",
    "restamp",
    "retry",
    "send_anyway",
    "set_case",
]

_ON_ITS_WAY: Final = (OutboxState.SENDING, OutboxState.STORED)
_TO_SEND: Final = (OutboxState.WAITING, *_ON_ITS_WAY)
_ENDED: Final = (OutboxState.REJECTED, OutboxState.QUARANTINED)
#: Refusals that no reason of an operator can lift: the bytes are not an image that travels.
_FINAL: Final = (
    Reason.DAMAGED_ON_DEVICE,
    Reason.CRASHES_DECODER,
    Reason.DECODE,
    Reason.TOO_LARGE,
    Reason.REFUSED,
)


class DeskError(Exception):
    """What was asked cannot be done; the message names the image and why."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did: rows that ended as dropped, images whose kept bytes went, and what it left."""

    dropped: tuple[OutboxRow, ...] = ()
    freed: tuple[str, ...] = ()
    #: Image to the reason why it was left alone.
    left: dict[str, str] = field(default_factory=dict)


def retry(outbox: Outbox, image_ids: Iterable[str], operator: str) -> list[OutboxRow]:
    """Makes stuck images offerable at once, those that a worker said it stored with their bytes again.

    The rows are for `Transfer.retry`. Raises DeskError where one of them has nothing to be sent.
    """
    ids = _named(image_ids)
    _check_name(operator)
    for row in (_row(outbox, image_id) for image_id in ids):
        if row.state not in _TO_SEND:
            raise DeskError(f"image {row.image_id} is {row.state}: there is nothing to send")
        if not row.bytes_held:
            raise DeskError(f"image {row.image_id}: its bytes are not held any more")
    with outbox.transaction():
        for image_id in ids:
            outbox.db.execute(
                "UPDATE images SET state = 'waiting' WHERE image_id = ?"
                " AND state IN ('waiting', 'sending', 'stored')",
                (image_id,),
            )
            append_audit(outbox, "outbox_retry", operator, image_id=image_id)
        outbox.step("retry_updated")
    outbox.step("retry_committed")
    return [outbox.row(image_id) for image_id in ids]


def purge(
    outbox: Outbox,
    operator: str,
    *,
    image_ids: Iterable[str] = (),
    rejected: bool = False,
    older_than_s: float | None = None,
) -> Purged:
    """Lets go of what the operator names, one by one or by kind.

    `rejected`: the kept bytes of refused images. `older_than_s`: running time since the capture;
    what is on its way is left alone then. An image that is named is dropped in any state but
    `recorded`; of a recorded or refused one the kept bytes go.
    """
    _check_name(operator)
    ids = _named(image_ids)
    for image_id in ids:
        _row(outbox, image_id)
    left: dict[str, str] = {}
    chosen = dict.fromkeys(ids)
    if rejected:
        chosen |= dict.fromkeys(
            _ids(
                outbox,
                "bytes_held AND (state IN ('rejected', 'quarantined')"
                " OR state = 'recorded' AND outcome = 'rejected')",
            )
        )
    if older_than_s is not None:
        age = "captured_clock_s <= (SELECT clock_s FROM meta) - ?"
        for image_id in _ids(outbox, f"bytes_held AND {age}", older_than_s):
            if image_id not in chosen and outbox.row(image_id).state in _ON_ITS_WAY:
                left[image_id] = "on its way to a worker or stored by one; name it to drop it"
            else:
                chosen[image_id] = None
    rows = [outbox.row(image_id) for image_id in chosen]
    dropped = [row.image_id for row in rows if row.state in _TO_SEND]
    freed = [row.image_id for row in rows if row.state not in _TO_SEND and row.bytes_held]
    for row in rows:
        if row.state not in _TO_SEND and not row.bytes_held:
            left[row.image_id] = f"{row.state}, and its bytes are gone already"
    _let_go(
        outbox,
        dropped,
        freed,
        operator=operator,
        action="outbox_purge",
        text=f"Dropped by {operator}.",
    )
    return Purged(tuple(outbox.row(image_id) for image_id in dropped), tuple(freed), left)


def drop_oldest(
    outbox: Outbox,
    operator: str,
    *,
    images: int,
    size_bytes: int,
    in_flight: Collection[str] = (),
) -> list[OutboxRow]:
    """Drops the oldest waiting routine images until so many images and bytes are gone.

    Never stat, never one in `in_flight` (the sender has begun with it). Fewer where there are no more.
    """
    chosen: list[str] = []
    freed = 0
    for row in _routine_waiting(outbox, in_flight):
        if len(chosen) >= images and freed >= size_bytes:
            break
        chosen.append(row["image_id"])
        freed += row["size_bytes"] if row["bytes_held"] else 0
    return _drop(outbox, chosen, operator, "The outbox was full")


def drop_aged(
    outbox: Outbox, operator: str, *, max_age_s: float, in_flight: Collection[str] = ()
) -> list[OutboxRow]:
    """Drops routine images that have waited longer than `max_age_s` of running time."""
    clock_s: float = outbox.one("SELECT clock_s FROM meta")[0]
    chosen = []
    for row in _routine_waiting(outbox, in_flight):
        if row["captured_clock_s"] > clock_s - max_age_s:
            break  # they come in the order of capture
        chosen.append(row["image_id"])
    return _drop(outbox, chosen, operator, "It waited too long")


def send_anyway(
    outbox: Outbox,
    image_id: str,
    operator: str,
    reason: OverrideReason,
    *,
    priority: Priority | None = None,
) -> OutboxRow:
    """A new row with a refused image's bytes, marked as sent against the gate; a repeat gets the same row.

    Raises DeskError where the image was not refused by the gate or its bytes are gone or damaged.
    """
    _check_name(operator)
    row = _row(outbox, image_id)
    if row.sent_again_as:
        return outbox.row(row.sent_again_as)
    if row.refusal is None:
        raise DeskError(f"image {image_id} was not refused on this device: it is {row.state}")
    if row.refusal.reason in _FINAL or row.content_type is None:
        raise DeskError(f"image {image_id} cannot be sent at all: {row.refusal.text}")
    if not row.bytes_held:
        raise DeskError(f"image {image_id}: its bytes were let go; take the field again")
    try:
        outbox.read(image_id)
    except DamagedError as error:
        raise DeskError(f"image {image_id}: {error.detail}; take the field again") from error
    copy = new_id()
    try:
        outbox.files.link(image_id, copy)
        outbox.files.sync_folder()
        with outbox.transaction():
            _insert_copy(outbox, row, copy, reason, priority or row.priority)
            append_audit(
                outbox,
                "send_anyway",
                operator,
                image_id=image_id,
                detail={"as": copy, "reason": reason.value},
            )
            outbox.step("copy_inserted")
    except BaseException:
        outbox.remove_uncommitted([copy])
        raise
    outbox.step("copy_committed")
    return outbox.row(copy)


def set_case(outbox: Outbox, image_id: str, case_id: str, operator: str) -> OutboxRow:
    """Files an image under another case here; who recorded it already hears it by a refile message."""
    _check_name(operator)
    before = _row(outbox, image_id).case_id
    with outbox.transaction():
        outbox.db.execute("UPDATE images SET case_id = ? WHERE image_id = ?", (case_id, image_id))
        append_audit(
            outbox,
            "move_field",
            operator,
            image_id=image_id,
            detail={"from": before, "to": case_id},
        )
        outbox.step("case_updated")
    outbox.step("case_committed")
    return outbox.row(image_id)


def restamp(outbox: Outbox, boot_id: str, wall_minus_monotonic_s: float) -> list[OutboxRow]:
    """Gives captures of this boot that were taken before the clock was set their wall time.

    Those that no worker has been sent yet, and refused ones, whose rejection is said again until
    it is recorded; the rows are for `Transfer.retry`.
    """
    with outbox.transaction():
        found = outbox.db.execute(
            "SELECT seq, image_id, captured_ns FROM images"
            " WHERE state IN ('waiting', 'rejected') AND NOT clock_synced AND boot_id = ?"
            " ORDER BY seq",
            (boot_id,),
        ).fetchall()
        for row in found:
            at = datetime.fromtimestamp(row["captured_ns"] / 1e9 + wall_minus_monotonic_s, UTC)
            outbox.db.execute(
                "UPDATE images SET captured_at = ?, clock_synced = 1 WHERE seq = ?",
                (wall_time(at), row["seq"]),
            )
        if found:
            append_audit(outbox, "restamp", "clock", detail={"images": len(found)})
        outbox.step("restamp_updated")
    outbox.step("restamp_committed")
    return [outbox.row(row["image_id"]) for row in found]


def _row(outbox: Outbox, image_id: str) -> OutboxRow:
    try:
        return outbox.row(image_id)
    except KeyError:
        raise DeskError(f"image {image_id} is not in this outbox") from None


def _named(image_ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(image_ids))


def _check_name(operator: str) -> None:
    if not operator.strip() or len(operator) > 64:
        raise DeskError("an operator's name is needed, at most 64 characters")


def _ids(outbox: Outbox, condition: str, *values: float) -> list[str]:
    found = outbox.db.execute(f"SELECT image_id FROM images WHERE {condition} ORDER BY seq", values)
    return [row["image_id"] for row in found]


def _routine_waiting(outbox: Outbox, in_flight: Collection[str]) -> Iterator[sqlite3.Row]:
    """The oldest first, read only as far as the caller goes."""
    found = outbox.db.execute(
        "SELECT image_id, size_bytes, bytes_held, captured_clock_s FROM images"
        " WHERE state = 'waiting' AND priority = 'routine' ORDER BY seq"
    )
    for row in found:
        if row["image_id"] not in in_flight:
            yield row


def _drop(outbox: Outbox, image_ids: Sequence[str], operator: str, why: str) -> list[OutboxRow]:
    _check_name(operator)
    text = f"{why}; dropped by the rule of {operator}."
    _let_go(outbox, image_ids, (), operator=operator, action="outbox_drop", text=text)
    return [outbox.row(image_id) for image_id in image_ids]


def _let_go(
    outbox: Outbox,
    dropped: Sequence[str],
    freed: Sequence[str],
    *,
    operator: str,
    action: str,
    text: str,
) -> None:
    """Rows first, files after the commit: what a crash leaves between goes at the next opening."""
    if not dropped and not freed:
        return
    with outbox.transaction():
        for image_id in dropped:
            outbox.db.execute(
                "UPDATE images SET state = 'rejected', reason = ?, text = ?, score = NULL,"
                ' "limit" = NULL, operator = ? WHERE image_id = ?',
                (Reason.REFUSED, text, operator, image_id),
            )
            append_audit(outbox, action, operator, image_id=image_id, detail={"outcome": "dropped"})
        for image_id in freed:
            append_audit(outbox, action, operator, image_id=image_id, detail={"freed": True})
        outbox.db.executemany(
            "UPDATE images SET bytes_held = 0, source = '' WHERE image_id = ?",
            [(image_id,) for image_id in (*dropped, *freed)],
        )
        outbox.step("purge_updated")
    outbox.step("purge_committed")
    for image_id in (*dropped, *freed):
        outbox.files.remove(image_id)
        outbox.step("purged_file_removed")


#: What a copy has in common with its original: the picture and how it came to be.
_COPIED: Final = (
    "sha256, size_bytes, content_type, width_px, height_px, um_per_px, case_id, captured_at,"
    " captured_ns, boot_id, clock_synced, source, warnings, flat_field"
)


def _insert_copy(
    outbox: Outbox, row: OutboxRow, copy: str, reason: OverrideReason, priority: Priority
) -> None:
    outbox.db.execute(
        f"INSERT INTO images (seq, image_id, {_COPIED}, priority, gate_override, override_reason,"
        " state, bytes_held, copy_of, captured_clock_s)"
        f" SELECT (SELECT next_seq FROM meta), ?, {_COPIED}, ?, 1, ?, 'waiting', 1, image_id,"
        " (SELECT clock_s FROM meta) FROM images WHERE image_id = ?",
        (copy, priority, reason, row.image_id),
    )
    outbox.db.execute("UPDATE meta SET next_seq = next_seq + 1")
    outbox.db.execute(
        "UPDATE images SET sent_again_as = ? WHERE image_id = ?", (copy, row.image_id)
    )
