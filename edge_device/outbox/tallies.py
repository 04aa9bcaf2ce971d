"""Counts and sizes by state, kept as rows change instead of counted each time; nothing of it is written to disk.

Triggers of this connection alone write a table in memory, so the figures roll back with the
transaction that moved them, and an outbox of 10,000 images answers as fast as an empty one.
"""

from __future__ import annotations

import sqlite3

from edge_device.outbox.rows import OutboxTotals
from wire_protocol.machine_io import OutboxState

_STATEMENTS = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE tally (
    state TEXT PRIMARY KEY, n INTEGER NOT NULL, held_bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO tally SELECT state, count(*), coalesce(sum(size_bytes) FILTER (WHERE bytes_held), 0)
    FROM main.images GROUP BY state;
CREATE TEMP TRIGGER image_came AFTER INSERT ON main.images BEGIN
    INSERT OR IGNORE INTO tally VALUES (new.state, 0, 0);
    UPDATE tally SET n = n + 1, held_bytes = held_bytes + new.size_bytes * new.bytes_held
        WHERE state = new.state;
END;
CREATE TEMP TRIGGER image_went AFTER DELETE ON main.images BEGIN
    UPDATE tally SET n = n - 1, held_bytes = held_bytes - old.size_bytes * old.bytes_held
        WHERE state = old.state;
END;
CREATE TEMP TRIGGER image_moved AFTER UPDATE OF state, bytes_held, size_bytes ON main.images BEGIN
    UPDATE tally SET n = n - 1, held_bytes = held_bytes - old.size_bytes * old.bytes_held
        WHERE state = old.state;
    INSERT OR IGNORE INTO tally VALUES (new.state, 0, 0);
    UPDATE tally SET n = n + 1, held_bytes = held_bytes + new.size_bytes * new.bytes_held
        WHERE state = new.state;
END;
"""


def begin_tallies(connection: sqlite3.Connection) -> None:
    """Counts once, and from here on as rows change through this connection, the only writer."""
    connection.executescript(_STATEMENTS)


def totals(connection: sqlite3.Connection) -> OutboxTotals:
    """Counts and sizes by state."""
    counts: dict[str, int] = {}
    unrecorded_bytes = recorded_bytes = 0
    oldest: sqlite3.Row | None = None
    for row in connection.execute("SELECT state, n, held_bytes FROM tally WHERE n > 0"):
        counts[row["state"]] = row["n"]
        if row["state"] == OutboxState.RECORDED:
            recorded_bytes = row["held_bytes"]
            continue
        unrecorded_bytes += row["held_bytes"]
        first = connection.execute(
            "SELECT seq, captured_clock_s FROM images WHERE state = ? ORDER BY seq LIMIT 1",
            (row["state"],),
        ).fetchone()
        oldest = first if oldest is None or first["seq"] < oldest["seq"] else oldest
    next_seq, clock_s = connection.execute("SELECT next_seq, clock_s FROM meta").fetchone()
    return OutboxTotals(
        next_seq=next_seq,
        oldest_unrecorded_seq=None if oldest is None else oldest["seq"],
        counts=counts,
        oldest_unrecorded_s=None if oldest is None else clock_s - oldest["captured_clock_s"],
        unrecorded_bytes=unrecorded_bytes,
        recorded_bytes=recorded_bytes,
    )
