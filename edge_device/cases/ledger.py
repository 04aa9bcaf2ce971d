"""Openings, closings and moves in the outbox's tables, each with its audit line in one transaction; no rule here.

All functions block on the disk and belong to the outbox's writer thread.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from edge_device.cases.book import By
from edge_device.outbox.audit import append_audit
from edge_device.outbox.outbox import Outbox
from service_runtime.boot import boot_id, new_id, wall_time
from wire_protocol.ids import OPERATOR_PATTERN
from wire_protocol.json_messages import Reason, Refile

#: What counts as a field of a case: what the gate refused and labels do not.
_FIELDS = (
    "SELECT count(*) FROM images WHERE case_id = cases.case_id AND seq >= cases.opened_seq"
    " AND text = '' "
)


class MoveError(Exception):
    """The image cannot be moved to another case; the message says why."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One opening of a case as it stands on disk; open while `closed_by` is None."""

    case_id: str
    number: int
    by: By
    operator: str
    opened_wall: str
    opened_ns: int
    boot_id: str
    closed_wall: str | None
    closed_by: By | None
    fields: int


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """The case that was open when the agent last ran, with what was captured for it since."""

    row: CaseRow
    #: Monotonic stamp of its last capture (or its opening), where it is of this boot.
    last_seen_ns: int | None
    fields: int
    refused: int


def write_opening(outbox: Outbox, case_id: str, by: By, operator: str, opened_ns: int) -> int:
    """A new opening, durably; whatever stood open is closed by it. Returns its number."""
    with outbox.transaction():
        _close_open_rows(outbox, by, operator)
        number: int = outbox.db.execute(
            "SELECT coalesce(max(number), 0) + 1 FROM cases WHERE case_id = ?", (case_id,)
        ).fetchone()[0]
        outbox.db.execute(
            "INSERT INTO cases (case_id, number, opened_wall, opened_clock_s, opened_by, operator,"
            " boot_id, opened_ns, opened_seq)"
            " SELECT ?, ?, ?, clock_s, ?, ?, ?, ?, next_seq FROM meta",
            (case_id, number, wall_time(), by, operator, boot_id(), opened_ns),
        )
        append_audit(
            outbox, "case_opened", operator, detail={"case": case_id, "number": number, "by": by}
        )
        outbox.step("case_opened")
    outbox.step("case_opening_committed")
    return number


def write_closing(outbox: Outbox, by: By, operator: str) -> None:
    """Closes what stands open, durably."""
    with outbox.transaction():
        _close_open_rows(outbox, by, operator)
        outbox.step("case_closed")
    outbox.step("case_closing_committed")


def _close_open_rows(outbox: Outbox, by: By, operator: str) -> None:
    for row in outbox.db.execute(
        "SELECT case_id, number FROM cases WHERE closed_by IS NULL"
    ).fetchall():
        outbox.db.execute(
            f"UPDATE cases SET closed_wall = ?, closed_by = ?, fields = ({_FIELDS})"
            " WHERE case_id = ? AND number = ?",
            (wall_time(), by, row["case_id"], row["number"]),
        )
        detail = {"case": row["case_id"], "number": row["number"], "by": by}
        append_audit(outbox, "case_closed", operator, detail=detail)


def left_open(outbox: Outbox) -> LeftOpen | None:
    """The case that was open when the agent last ran."""
    row = outbox.db.execute(f"{_CASES} WHERE closed_by IS NULL ORDER BY rowid DESC").fetchone()
    if row is None:
        return None
    found = outbox.db.execute(
        "SELECT max(captured_ns) AS last_ns, count(*) FILTER (WHERE text <> '') AS refused"
        " FROM images WHERE seq >= ? AND case_id = ? AND boot_id = ? AND reason <> ?",
        (row["opened_seq"], row["case_id"], boot_id(), Reason.SLIDE_LABEL),
    ).fetchone()
    case = _case_row(row)
    last = None
    if case.boot_id == boot_id():
        last = max(case.opened_ns, found["last_ns"] or 0)
    return LeftOpen(case, last, case.fields, found["refused"])


def list_cases(connection: sqlite3.Connection, limit: int = 1000) -> list[CaseRow]:
    """The newest openings, newest first; those that are open are counted as they stand."""
    found = connection.execute(f"{_CASES} ORDER BY cases.rowid DESC LIMIT ?", (limit,))
    return [_case_row(row) for row in found]


_CASES = (
    "SELECT case_id, number, opened_by, operator, opened_wall, opened_ns, opened_seq, boot_id,"
    " closed_wall, closed_by,"
    f" CASE WHEN closed_by IS NULL THEN ({_FIELDS}) ELSE fields END AS counted FROM cases"
)


def _case_row(row: sqlite3.Row) -> CaseRow:
    return CaseRow(
        case_id=row["case_id"],
        number=row["number"],
        by=By(row["opened_by"]),
        operator=row["operator"],
        opened_wall=row["opened_wall"],
        opened_ns=row["opened_ns"],
        boot_id=row["boot_id"],
        closed_wall=row["closed_wall"],
        closed_by=None if row["closed_by"] is None else By(row["closed_by"]),
        fields=row["counted"],
    )


# --- moving a field ----------------------------------------------------------------------------


def write_move(outbox: Outbox, image_id: str, case_id: str, operator: str) -> str:
    """Files an image under another case, durably, with the refile that tells the records store.

    Returns the case it had; the same case again changes nothing. Raises MoveError.
    """
    if not re.fullmatch(OPERATOR_PATTERN, operator):
        raise MoveError(
            "moving a field needs the name of an operator: the account's, "
            "1 to 64 letters, digits, dots, dashes and underscores"
        )
    try:
        row = outbox.row(image_id)
    except KeyError:
        raise MoveError(f"no image {image_id} in this outbox") from None
    if row.refusal is not None and row.refusal.reason is Reason.SLIDE_LABEL:
        raise MoveError(f"image {image_id} was a slide's label, no field")
    if row.case_id == case_id:
        return row.case_id
    with outbox.transaction():
        outbox.db.execute("UPDATE images SET case_id = ? WHERE image_id = ?", (case_id, image_id))
        outbox.db.execute(
            "INSERT INTO refiles (refile_id, image_id, number, from_case, to_case, operator, wall)"
            " SELECT ?, ?, coalesce(max(number), 0) + 1, ?, ?, ?, ? FROM refiles WHERE image_id = ?",
            (new_id(), image_id, row.case_id, case_id, operator, wall_time(), image_id),
        )
        detail = {"from": row.case_id, "to": case_id}
        append_audit(outbox, "field_moved", operator, image_id=image_id, detail=detail)
        outbox.step("field_moved")
    outbox.step("field_move_committed")
    return row.case_id


def untold_refiles(
    outbox: Outbox, *, site: str, device: str, store_id: str, limit: int
) -> list[Refile]:
    """The oldest moves that the records store `store_id` ("" where it is not known) did not confirm."""
    found = outbox.db.execute(
        "SELECT * FROM refiles WHERE store_id = '' OR store_id <> ? ORDER BY rowid LIMIT ?",
        (store_id, limit),
    )
    if not store_id:
        found = outbox.db.execute(
            "SELECT * FROM refiles WHERE store_id = '' ORDER BY rowid LIMIT ?", (limit,)
        )
    return [
        Refile(
            site=site,
            device=device,
            refile_id=row["refile_id"],
            image_id=row["image_id"],
            outbox_id=outbox.outbox_id,
            number=row["number"],
            from_case=row["from_case"],
            to_case=row["to_case"],
            operator=row["operator"],
            refiled_at=row["wall"],
        )
        for row in found
    ]


def confirm_refiles(outbox: Outbox, confirmed: Mapping[str, str]) -> bool:
    """These moves (refile id to store id) are kept by the records store; True when that is on disk."""
    with outbox.transaction():
        outbox.db.executemany(
            "UPDATE refiles SET store_id = ? WHERE refile_id = ?",
            [(store_id, refile_id) for refile_id, store_id in confirmed.items()],
        )
        outbox.step("refiles_confirmed")
    return True


def forget_refiles(outbox: Outbox) -> int:
    """Lets go of confirmed moves whose images' tombstones are gone; returns how many."""
    with outbox.transaction():
        cursor = outbox.db.execute(
            "DELETE FROM refiles WHERE store_id <> ''"
            " AND image_id NOT IN (SELECT image_id FROM images)"
        )
    return cursor.rowcount
