"""The feed of changes: written in the transaction of what it tells of, with ids 1, 2, 3 ... without gaps.

A reader that has seen everything up to an id asks for what came after it: nothing is missed and
nothing comes twice. A row that counts gives the ids, not a sequence: a sequence leaves gaps where a
transaction fails, and its numbers can become visible out of order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, func, insert, select, update

from dashboard.cases.tables import ChangeRow, FeedRow


class ChangeKind(StrEnum):
    """What is different."""

    #: The AI's side: a field came, or was moved.
    CASE = "case"
    #: A person's side: answered, taken back, signed, referred.
    REVIEW = "review"
    #: A retake was asked for or answered.
    RETAKE = "retake"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the feed."""

    id: int
    kind: ChangeKind
    site: str
    case_key: str
    at: str


def begin_feed(connection: Connection) -> None:
    """Makes the counting row where there is none."""
    if connection.execute(select(FeedRow.one)).first() is None:
        connection.execute(insert(FeedRow).values(one=1, last_id=0, told_id=0))


def append_changes(
    connection: Connection, changes: Sequence[tuple[ChangeKind, str, str]], at: str
) -> int:
    """Writes (kind, site, case key) each and returns the last id; the lock on the counting row is
    held until the transaction ends, so ids become visible in their order."""
    if not changes:
        return last_change(connection)
    last: int = connection.execute(
        update(FeedRow).values(last_id=FeedRow.last_id + len(changes)).returning(FeedRow.last_id)
    ).scalar_one()
    first = last - len(changes) + 1
    connection.execute(
        insert(ChangeRow),
        [
            {"id": first + n, "kind": kind.value, "site": site, "case_key": key, "at": at}
            for n, (kind, site, key) in enumerate(changes)
        ],
    )
    return last


def read_changes(connection: Connection, after: int, limit: int) -> list[Change]:
    """The changes after that id, oldest first."""
    rows = connection.execute(
        select(ChangeRow.id, ChangeRow.kind, ChangeRow.site, ChangeRow.case_key, ChangeRow.at)
        .where(ChangeRow.id > after)
        .order_by(ChangeRow.id)
        .limit(limit)
    )
    return [Change(row.id, ChangeKind(row.kind), row.site, row.case_key, row.at) for row in rows]


def last_change(connection: Connection) -> int:
    """The id of the newest change; 0 where there is none."""
    return connection.execute(select(FeedRow.last_id)).scalar() or 0


def first_change(connection: Connection) -> int:
    """The oldest change that is kept; what a reader missed before it is gone: it reloads."""
    return connection.execute(select(func.min(ChangeRow.id))).scalar() or 1


def forget_changes(connection: Connection, before: int) -> None:
    """Lets go of old lines; what they told of is in the cases and their events."""
    connection.execute(delete(ChangeRow).where(ChangeRow.id < before))


def told_change(connection: Connection) -> int:
    """The last change that was told on the broker for certain."""
    return connection.execute(select(FeedRow.told_id)).scalar() or 0


def mark_told(connection: Connection, change_id: int) -> None:
    """Everything up to this change was told."""
    connection.execute(update(FeedRow).where(FeedRow.told_id < change_id).values(told_id=change_id))
