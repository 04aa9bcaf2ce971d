"""Who did what to which image or case, kept beside the images; lines are added and read, never changed.

The newest `LINES_KEPT` stay. Details are ids, counts and closed words: no file name, nothing typed
freely but the operator's own name.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_device.outbox.outbox import Outbox
from service_runtime.boot import wall_time

LINES_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One deed; `clock_s` is the outbox's running time, `wall` is for display."""

    seq: int
    clock_s: float
    wall: str
    operator: str
    action: str
    image_id: str
    detail: dict[str, Any]


def audit(
    outbox: Outbox,
    action: str,
    operator: str,
    *,
    image_id: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Writes one line in a transaction of its own."""
    with outbox.transaction():
        append_audit(outbox, action, operator, image_id=image_id, detail=detail)


def append_audit(
    outbox: Outbox,
    action: str,
    operator: str,
    *,
    image_id: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Writes one line within the caller's transaction: the deed and its line stand or fall together."""
    cursor = outbox.db.execute(
        "INSERT INTO audit (clock_s, wall, operator, action, image_id, detail)"
        " VALUES ((SELECT clock_s FROM meta), ?, ?, ?, ?, ?)",
        (wall_time(), operator, action, image_id, json.dumps(dict(detail or {}), sort_keys=True)),
    )
    outbox.db.execute("DELETE FROM audit WHERE seq <= ?", ((cursor.lastrowid or 0) - LINES_KEPT,))
    outbox.step("audit_written")


def read_audit(connection: sqlite3.Connection, *, limit: int = 1000) -> list[AuditLine]:
    """The newest lines, oldest of them first."""
    found = connection.execute("SELECT * FROM audit ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
    return [
        AuditLine(
            seq=row["seq"],
            clock_s=row["clock_s"],
            wall=row["wall"],
            operator=row["operator"],
            action=row["action"],
            image_id=row["image_id"],
            detail=json.loads(row["detail"]),
        )
        for row in reversed(found)
    ]
