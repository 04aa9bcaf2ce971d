"""An outbox file as version 1 of the schema wrote it, with a row in every state; and a child that opens it and dies."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

from edge_device.outbox import Outbox
from wire_protocol.machine_io import OutboxState

OUTBOX_ID = "ab" * 16

TABLES = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    outbox_id TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    clock_s REAL NOT NULL,
    store_id TEXT NOT NULL
) STRICT;
CREATE TABLE images (
    seq INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    content_type TEXT,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    um_per_px REAL,
    case_id TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    captured_ns INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    clock_synced INTEGER NOT NULL,
    priority TEXT NOT NULL,
    gate_override INTEGER NOT NULL,
    state TEXT NOT NULL,
    vanished INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT '',
    score REAL,
    "limit" REAL,
    operator TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL,
    bytes_held INTEGER NOT NULL,
    recorded_clock_s REAL
) STRICT;
CREATE INDEX images_by_state ON images (state, bytes_held, size_bytes, seq);
CREATE INDEX images_to_free ON images (recorded_clock_s) WHERE recorded_clock_s IS NOT NULL;
CREATE TABLE sources (key_sha256 BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE replies (
    command_id TEXT PRIMARY KEY, payload BLOB NOT NULL, clock_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

#: State, outcome, bytes held, reason and words of each row, in the order of seq.
ROWS = (
    (OutboxState.RECORDED, "diagnosed", 0, "", ""),
    (OutboxState.RECORDED, "diagnosed", 1, "", ""),
    (OutboxState.RECORDED, "rejected", 1, "focus", "Out of focus."),
    (OutboxState.WAITING, None, 1, "", ""),
    (OutboxState.SENDING, None, 1, "", ""),
    (OutboxState.STORED, None, 1, "", ""),
    (OutboxState.REJECTED, None, 1, "exposure", "Too dark."),
    (OutboxState.QUARANTINED, None, 1, "damaged_on_device", "Damaged on the device."),
)


def content(seq: int) -> bytes:
    """The bytes of the row with this seq."""
    return f"image {seq} ".encode() * 300


def image_id(seq: int) -> str:
    """The id of the row with this seq."""
    return f"{seq:032x}"


def make_version_1(folder: Path) -> None:
    """Writes the whole outbox folder."""
    (folder / "images").mkdir(parents=True)
    db = sqlite3.connect(folder / "outbox.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.executescript(TABLES)
    db.execute("INSERT INTO meta VALUES (1, ?, ?, 1000.0, 'store')", (OUTBOX_ID, len(ROWS) + 1))
    for seq, (state, outcome, held, reason, text) in enumerate(ROWS, 1):
        db.execute(
            "INSERT INTO images VALUES (?, ?, ?, ?, 'image/jpeg', 20, 10, 0.1, 'CASE-1',"
            " '2026-01-01T00:00:00.000Z', 7, ?, 1, 'stat', 0, ?, 1, ?, ?, ?, 3.0, 12.0, '', ?, ?, ?)",
            (
                seq,
                image_id(seq),
                hashlib.sha256(content(seq)).hexdigest(),
                len(content(seq)),
                "cd" * 16,
                state,
                outcome,
                reason,
                text,
                f"frame-{seq}",
                held,
                500.0 if outcome else None,
            ),
        )
        digest = hashlib.sha256(f"frame-{seq}".encode()).digest()
        db.execute("INSERT INTO sources VALUES (?, ?)", (digest, seq))
        if held:
            (folder / "images" / image_id(seq)).write_bytes(content(seq))
    db.execute("INSERT INTO replies VALUES ('command', ?, 990.0)", (b"reply",))
    db.execute("PRAGMA user_version = 1")
    db.close()


def main() -> None:
    """Opens the outbox and dies by SIGKILL the n-th time that the named step is reached."""
    folder, name, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def step(reached: str) -> None:
        nonlocal left
        left -= reached == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Outbox(folder, step)


if __name__ == "__main__":
    main()
