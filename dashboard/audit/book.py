"""Writes the audit book inside the transaction of the deed, and reads it to be checked; it never changes an entry."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, inspect, select, update

from dashboard.accounts.roles import Actor
from dashboard.audit.chain import (
    START,
    Entry,
    Finding,
    Head,
    Sealed,
    check,
    hash_entry,
    seal_head,
)
from dashboard.audit.tables import AuditHeadRow, AuditRow
from dashboard.engine import StoreError, open_engine

_KEY_BYTES: Final = 32
_READ_AT_ONCE: Final = 1000


class AuditBook:
    """The book of one database; the key stays outside of it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        subject: str,
        at: str,
        *,
        detail: Mapping[str, str | int | bool | None] | None = None,
    ) -> None:
        """One more entry. It takes the head's row first, so entries stand in the order of commits."""
        # Before the read: SQLite has the lock already, PostgreSQL takes it here.
        connection.execute(update(AuditHeadRow).values(one=AuditHeadRow.one))
        head = connection.execute(select(AuditHeadRow.number, AuditHeadRow.hash)).first()
        number, previous = (0, START) if head is None else (head.number, head.hash)
        entry = Entry(
            number=number + 1,
            at=at,
            account=actor.account[:64],
            role=actor.role.value if actor.role else "",
            address=actor.address[:64],
            action=action[:32],
            subject=subject[:200],
            detail=json.dumps(dict(detail or {}), sort_keys=True),
        )
        digest = hash_entry(entry, previous)
        connection.execute(
            insert(AuditRow).values(
                number=entry.number,
                at=entry.at,
                account=entry.account,
                role=entry.role,
                address=entry.address,
                action=entry.action,
                subject=entry.subject,
                detail=entry.detail,
                previous=previous,
                hash=digest,
            )
        )
        values = {
            "number": entry.number,
            "hash": digest,
            "seal": seal_head(entry.number, digest, self._key),
        }
        if head is None:
            connection.execute(insert(AuditHeadRow).values(one=1, **values))
        else:
            connection.execute(update(AuditHeadRow).values(**values))


def read_book(connection: Connection, after: int = 0) -> Iterator[Sealed]:
    """The entries in their order, as they are kept."""
    while True:
        rows = connection.execute(
            select(AuditRow.__table__)
            .where(AuditRow.number > after)
            .order_by(AuditRow.number)
            .limit(_READ_AT_ONCE)
        ).all()
        for row in rows:
            entry = Entry(
                row.number, row.at, row.account, row.role, row.address, row.action, row.subject,
                row.detail,
            )  # fmt: skip
            yield Sealed(entry, row.previous, row.hash)
        if len(rows) < _READ_AT_ONCE:
            return
        after = rows[-1].number


def verify(url: str, key: bytes, known: Head | None = None) -> tuple[Head | None, Finding | None]:
    """The book's head and the first thing that is wrong with it; raises StoreError."""
    engine = open_engine(url, read_only=True)
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table(AuditRow.__tablename__):
                raise StoreError("records database: it has no audit book yet")
            row = connection.execute(
                select(AuditHeadRow.number, AuditHeadRow.hash, AuditHeadRow.seal)
            ).first()
            head = None if row is None else Head(row.number, row.hash, row.seal)
            if head is None and connection.execute(select(AuditRow.number)).first() is None:
                cut = known is not None and known.number > 0
                return None, Finding(1, "entry 1 is missing: the book is empty") if cut else None
            return head, check(read_book(connection), head, key, known=known)
    finally:
        engine.dispose()


def load_key(path: Path) -> bytes:
    """The key in this file; it is made, for its owner alone, where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"audit key {path}: {error.strerror}") from error
    else:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in this file; raises StoreError where there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        raise StoreError(f"audit key {path}: cannot be read: {error}") from error
    if len(key) != _KEY_BYTES:
        raise StoreError(f"audit key {path}: {_KEY_BYTES} bytes in hex needed")
    return key
