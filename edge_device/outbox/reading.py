"""Rows and snapshots out of the outbox's tables; it writes nothing."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from edge_device.outbox.rows import OutboxRow, Refusal, Snapshot, SnapshotRow
from edge_device.outbox.schema import open_to_read
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType, OverrideReason, Priority
from wire_protocol.messages import Outcome

ROW_COLUMNS = "*, (SELECT outbox_id FROM meta) AS outbox_id"


def row_from(row: sqlite3.Row) -> OutboxRow:
    """The typed row."""
    state = OutboxState(row["state"])
    return OutboxRow(
        seq=row["seq"],
        image_id=row["image_id"],
        outbox_id=row["outbox_id"],
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        content_type=None if row["content_type"] is None else ContentType(row["content_type"]),
        width_px=row["width_px"],
        height_px=row["height_px"],
        um_per_px=row["um_per_px"],
        case_id=row["case_id"],
        captured_at=row["captured_at"],
        captured_ns=row["captured_ns"],
        boot_id=row["boot_id"],
        clock_synced=bool(row["clock_synced"]),
        priority=Priority(row["priority"]),
        gate_override=bool(row["gate_override"]),
        state=state,
        vanished=row["vanished"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        refusal=_refusal(row),
        source=row["source"],
        bytes_held=bool(row["bytes_held"]),
        override_reason=OverrideReason(row["override_reason"]) if row["override_reason"] else "",
        warnings=tuple(row["warnings"].split()),
        flat_field=row["flat_field"],
        copy_of=row["copy_of"] or "",
        sent_again_as=row["sent_again_as"] or "",
    )


def _refusal(row: sqlite3.Row) -> Refusal | None:
    """Refusals made here have words; a worker's reason alone is not one of ours."""
    if not row["text"]:
        return None
    return Refusal(Reason(row["reason"]), row["text"], row["score"], row["limit"], row["operator"])


def read_snapshot(folder: Path) -> Snapshot:
    """The outbox in `folder` as it stands, for a checker; the agent may be running or dead."""
    connection = open_to_read(folder)
    try:
        connection.execute("BEGIN")
        meta = connection.execute("SELECT outbox_id, next_seq FROM meta").fetchone()
        rows = tuple(
            SnapshotRow(
                image_id=row["image_id"],
                seq=row["seq"],
                sha256=row["sha256"],
                size_bytes=row["size_bytes"],
                state=OutboxState(row["state"]),
                outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
                reason=row["reason"],
                source=row["source"],
                bytes_held=bool(row["bytes_held"]),
            )
            for row in connection.execute("SELECT * FROM images ORDER BY seq")
        )
        return Snapshot(meta["outbox_id"], meta["next_seq"], rows)
    finally:
        connection.close()


class CapturedSources:
    """Asks which sources were captured, on a connection of its own: for the capture thread."""

    def __init__(self, folder: Path) -> None:
        self._connection = open_to_read(folder)

    def __call__(self, key: str) -> bool:
        """Whether a capture with this source key was committed, however long ago."""
        found = self._connection.execute(
            "SELECT 1 FROM sources WHERE key_sha256 = ?", (source_digest(key),)
        )
        return found.fetchone() is not None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def source_digest(source_key: str) -> bytes:
    """Sources are remembered by digest only: their names may name a patient."""
    return hashlib.sha256(source_key.encode("utf-8", "surrogateescape")).digest()
