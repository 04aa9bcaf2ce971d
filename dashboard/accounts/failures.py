"""Sign-ins that failed, counted against an account and an address, so that nobody tries passwords for long."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, text

from dashboard.accounts.secret import digest
from dashboard.accounts.settings import AccountSettings
from dashboard.accounts.tables import FailureRow


def waits_s(
    connection: Connection, settings: AccountSettings, name: str, address: str, now_ms: int
) -> float:
    """How long this account or address has to wait; 0 or less: not at all."""
    window_ms = round(settings.failure_window_s * 1000)
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        table = FailureRow.__tablename__
        connection.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(delete(FailureRow).where(FailureRow.at_ms <= now_ms - window_ms))
    waits_ms = 0
    limits = (settings.account_failures, settings.address_failures)
    for subject, limit in zip(subjects(name, address), limits, strict=True):
        found = connection.execute(
            select(FailureRow.at_ms)
            .where(FailureRow.subject == subject)
            .order_by(FailureRow.at_ms.desc())
            .limit(limit)
        ).scalars()
        times = list(found)
        if len(times) >= limit:
            waits_ms = max(waits_ms, times[-1] + window_ms - now_ms)
    return waits_ms / 1000


def count_failure(connection: Connection, counted: Sequence[str], now_ms: int) -> list[int]:
    """Counts a failure against each; gives the rows' ids, to take them back on success."""
    return [
        connection.execute(
            insert(FailureRow).values(subject=subject, at_ms=now_ms).returning(FailureRow.id)
        ).scalar_one()
        for subject in counted
    ]


def subjects(name: str, address: str) -> tuple[str, str]:
    """What failures are counted by; the name as a hash, since people type passwords there."""
    return f"account:{digest(name)[:32]}", f"address:{address}"[:80]
