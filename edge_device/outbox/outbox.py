"""The durable outbox: it owns an image from capture until `Recorded`; it sends nothing and forgets nothing unrecorded.

All methods block on the disk and belong to one thread at a time (the agent's writer thread). Each
changes the outbox in one transaction, so that a kill at any line leaves either before or after.
`retention` and `memory` work on the same database through `db` and `transaction`. (Just over 250 lines:
all that may change an image's state in one place.)
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_device.outbox.image_files import ImageFiles, Step, no_step, sync_folder
from edge_device.outbox.integrity import check_structure, damage_is_named, damaged, mend
from edge_device.outbox.reading import ROW_COLUMNS, row_from, source_digest
from edge_device.outbox.rows import (
    REFUSED,
    UNRECORDED,
    NewCapture,
    OutboxRow,
    OutboxTotals,
    Refusal,
)
from edge_device.outbox.schema import OutboxError, open_database
from edge_device.outbox.tallies import begin_tallies, totals
from service_runtime.boot import new_id
from wire_protocol.machine_io import OutboxState, Persist


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """What opening had to do."""

    outbox_id: str
    was_made: bool
    files_removed: int
    #: Files without a row, moved to `strays`.
    strays: int = 0
    #: Images whose row or file was damaged: they are quarantined, and their rejection is published.
    damaged: int = 0
    #: Whether the check of the database's structure came to its end in time.
    is_checked: bool = True


class Outbox:
    """The outbox in `folder`; one process at a time, which a lock beside it enforces."""

    def __init__(self, folder: Path, step: Step = no_step) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.step = step
        self.folder = folder
        self._lock = (folder / "outbox.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise OutboxError(f"{folder}: another agent has this outbox open") from error
        try:
            with damage_is_named(folder):
                self.db: sqlite3.Connection = open_database(folder, step)
                self._open()
        except BaseException:
            if hasattr(self, "db"):
                self.db.close()
            self._lock.close()
            raise

    def _open(self) -> None:
        is_checked = check_structure(self.db)
        self.files = ImageFiles(self.folder / "images", self.step)
        sync_folder(self.folder)
        meta = self.one("SELECT outbox_id, next_seq FROM meta")
        if meta is None:
            raise damaged("its own line is missing")
        self.outbox_id: str = meta["outbox_id"]
        found = mend(self)
        begin_tallies(self.db)
        self.opening = OpeningReport(
            outbox_id=self.outbox_id,
            was_made=meta["next_seq"] == 1,
            files_removed=found.files_removed,
            strays=found.strays,
            damaged=found.damaged,
            is_checked=is_checked,
        )

    def close(self) -> None:
        """Closes the database and lets another process have the outbox."""
        self.db.close()
        self._lock.close()

    # --- capture ------------------------------------------------------------------------------

    def is_captured(self, source_key: str) -> bool:
        """Whether a capture with this key was committed, however long ago."""
        found = self.db.execute(
            "SELECT 1 FROM sources WHERE key_sha256 = ?", (source_digest(source_key),)
        )
        return found.fetchone() is not None

    def add(self, captures: Sequence[NewCapture]) -> list[OutboxRow | None]:
        """Takes captures in, durably when this returns; None for one whose source is known already.

        Their bytes are synced before the one transaction that gives them seqs.
        """
        fresh: list[tuple[NewCapture, str] | None] = []
        keys: set[str] = set()
        for capture in captures:
            known = capture.source_key in keys or self.is_captured(capture.source_key)
            keys.add(capture.source_key)
            fresh.append(None if known else (capture, new_id()))
        new = list(filter(None, fresh))
        try:
            for capture, image_id in new:
                if capture.content is not None:
                    self.files.write(image_id, capture.content)
            self.files.sync_folder()
            with self.transaction():
                seq: int = self.one("SELECT next_seq FROM meta")[0]
                for capture, image_id in new:
                    self._insert(seq, image_id, capture)
                    seq += 1
                self.db.execute("UPDATE meta SET next_seq = ?", (seq,))
                self.step("rows_inserted")
        except BaseException:
            self.remove_uncommitted([image_id for _, image_id in new])
            raise
        self.step("capture_committed")
        return [None if taken is None else self.row(taken[1]) for taken in fresh]

    def remove_uncommitted(self, image_ids: Iterable[str]) -> None:
        """Files that got no row go: a full disk is not filled further by every next try.

        Where the disk does not let us look or remove, the next opening does it.
        """
        with suppress(OSError, sqlite3.Error):
            for image_id in image_ids:
                query = "SELECT 1 FROM images WHERE image_id = ?"
                if self.db.execute(query, (image_id,)).fetchone() is None:
                    self.files.remove(image_id)

    def _insert(self, seq: int, image_id: str, capture: NewCapture) -> None:
        content, refusal = capture.content, capture.refusal
        values = {
            "seq": seq,
            "image_id": image_id,
            "sha256": capture.sha256 if content is None else hashlib.sha256(content).hexdigest(),
            "size_bytes": capture.size_bytes if content is None else len(content),
            "content_type": capture.content_type,
            "width_px": capture.width_px,
            "height_px": capture.height_px,
            "um_per_px": capture.um_per_px,
            "case_id": capture.case_id,
            "captured_at": capture.captured_at,
            "captured_ns": capture.captured_ns,
            "boot_id": capture.boot_id,
            "clock_synced": capture.clock_synced,
            "priority": capture.priority,
            "gate_override": capture.gate_override,
            "state": OutboxState.WAITING if refusal is None else OutboxState.REJECTED,
            "reason": "" if refusal is None else refusal.reason,
            "text": "" if refusal is None else refusal.text,
            "score": None if refusal is None else refusal.score,
            "limit": None if refusal is None else refusal.limit,
            "source": capture.source,
            "bytes_held": content is not None,
            "override_reason": capture.override_reason,
            "warnings": " ".join(capture.warnings),
            "flat_field": capture.flat_field,
        }
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" for _ in values)
        self.db.execute(
            f"INSERT INTO images ({names}, captured_clock_s)"
            f" VALUES ({marks}, (SELECT clock_s FROM meta))",
            tuple(values.values()),
        )
        self.db.execute(
            "INSERT INTO sources VALUES (?, ?)", (source_digest(capture.source_key), seq)
        )

    # --- states -------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Persist]) -> None:
        """Commits state changes that the sender decided.

        What ended on the device can only become recorded; what was recorded can only become stored
        again, for a records store that lost it.
        """
        with self.transaction():
            for change in changes:
                recorded = change.state is OutboxState.RECORDED
                self.db.execute(
                    "UPDATE images SET state = ?, vanished = ?, outcome = ?,"
                    " reason = CASE WHEN ? = '' THEN reason ELSE ? END,"
                    " recorded_clock_s = CASE WHEN ? THEN (SELECT clock_s FROM meta) END"
                    " WHERE image_id = ? AND CASE state"
                    " WHEN 'recorded' THEN ? IN ('recorded', 'stored')"
                    " WHEN 'rejected' THEN ? WHEN 'quarantined' THEN ? ELSE 1 END",
                    (
                        change.state,
                        change.vanished,
                        change.outcome,
                        change.reason,
                        change.reason,
                        recorded,
                        change.image_id,
                        change.state,
                        recorded,
                        recorded,
                    ),
                )
            self.step("states_updated")
        self.step("states_committed")

    def quarantine(self, image_id: str, refusal: Refusal) -> OutboxRow | None:
        """Ends an unrecorded image on the device and keeps its bytes as evidence; None if it had ended."""
        with self.transaction():
            cursor = self.db.execute(
                'UPDATE images SET state = ?, reason = ?, text = ?, score = ?, "limit" = ?,'
                " operator = ? WHERE image_id = ?"
                " AND state NOT IN ('recorded', 'rejected', 'quarantined')",
                (
                    OutboxState.QUARANTINED,
                    refusal.reason,
                    refusal.text[:400],
                    refusal.score,
                    refusal.limit,
                    refusal.operator,
                    image_id,
                ),
            )
            self.step("quarantine_updated")
        self.step("quarantine_committed")
        return self.row(image_id) if cursor.rowcount else None

    # --- reading ------------------------------------------------------------------------------

    def row(self, image_id: str) -> OutboxRow:
        """The row of this image; raises KeyError."""
        found = self.db.execute(f"{_SELECT} WHERE image_id = ?", (image_id,)).fetchone()
        if found is None:
            raise KeyError(image_id)
        return row_from(found)

    def unfinished(self) -> list[OutboxRow]:
        """Every row that is not recorded yet, in the order of capture."""
        return self._rows(UNRECORDED)

    def refused(self) -> list[OutboxRow]:
        """Every row whose rejection is not recorded yet."""
        return self._rows(REFUSED)

    def _rows(self, states: Sequence[OutboxState]) -> list[OutboxRow]:
        marks = ", ".join("?" for _ in states)
        found = self.db.execute(f"{_SELECT} WHERE state IN ({marks}) ORDER BY seq", tuple(states))
        return [row_from(row) for row in found]

    def recorded(self, limit: int) -> list[OutboxRow]:
        """The latest tombstones, newest first: asked about when the records store is another one."""
        query = f"{_SELECT} WHERE state = 'recorded' ORDER BY seq DESC LIMIT ?"
        return [row_from(row) for row in self.db.execute(query, (limit,))]

    def read(self, image_id: str) -> bytes:
        """The image's bytes, whole and checked; raises DamagedError."""
        return self.files.read(image_id, self.row(image_id).sha256)

    def totals(self) -> OutboxTotals:
        """Counts and sizes by state."""
        return totals(self.db)

    # --- the database -------------------------------------------------------------------------

    def one(self, query: str) -> sqlite3.Row:
        """The only row of a query on `meta`."""
        found: sqlite3.Row = self.db.execute(query).fetchone()
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One durable change: committed where the block ends, rolled back where it raises."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise


_SELECT = f"SELECT {ROW_COLUMNS} FROM images"
