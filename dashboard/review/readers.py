"""Who has opened a case, and since when they know what the AI says of it; it shows nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from dashboard.cases.tables import CaseRow
from dashboard.review.store import time_of
from dashboard.review.tables import ReadingRow


def note_reading(
    connection: Connection, row: Row[Any], account: str, now_ms: int, *, sees_ai: bool
) -> None:
    """This account looks at the case now, and with `sees_ai` at what the AI says."""
    at = time_of(now_ms)
    mine = (ReadingRow.smear_case_id == row.id) & (ReadingRow.account == account)
    known = connection.execute(select(ReadingRow.ai_seen_at).where(mine)).first()
    if known is None:
        connection.execute(
            insert(ReadingRow).values(
                smear_case_id=row.id,
                account=account,
                opened_at=at,
                ai_seen_at=at if sees_ai else "",
            )
        )
    elif sees_ai and not known.ai_seen_at:
        connection.execute(update(ReadingRow).where(mine).values(ai_seen_at=at))
    if not row.opened_at:
        connection.execute(update(CaseRow).where(CaseRow.id == row.id).values(opened_at=at))


def has_seen_ai(connection: Connection, smear_case_id: int, account: str) -> bool:
    """Whether this account was ever shown what the AI says of this case."""
    return bool(who_know(connection, [smear_case_id], account))


def who_know(connection: Connection, smear_case_ids: Sequence[int], account: str) -> set[int]:
    """Those of these cases of which this account was shown what the AI says."""
    found = connection.execute(
        select(ReadingRow.smear_case_id).where(
            ReadingRow.account == account,
            ReadingRow.ai_seen_at != "",
            ReadingRow.smear_case_id.in_(smear_case_ids),
        )
    )
    return set(found.scalars())
