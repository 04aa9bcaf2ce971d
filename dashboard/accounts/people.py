"""The accounts of a records database: made, ended, given a password; who comes in is accounts/store.py.

Every change is written into the audit book in its own transaction. Times are Unix milliseconds of
this machine; nothing of a browser's clock is heard.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from dashboard.accounts.passwords import Passwords
from dashboard.accounts.roles import Actor, Role
from dashboard.accounts.settings import AccountSettings
from dashboard.accounts.tables import AccountRow, LinkRow, SessionRow
from dashboard.audit.book import AuditBook, load_key
from dashboard.engine import open_engine
from dashboard.review.store import time_of
from dashboard.store import RecordsStore
from service_runtime.boot import wall_time
from service_runtime.log import get_log
from wire_protocol.ids import LEVEL_PATTERN, OPERATOR_PATTERN

_NAME: Final = re.compile(OPERATOR_PATTERN)
_SITE: Final = re.compile(LEVEL_PATTERN)


class AccountError(ValueError):
    """The wish about an account cannot be fulfilled, in words."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in."""

    name: str
    role: Role
    site: str | None
    has_password: bool
    reads_before_ai: bool
    created_at: str
    #: Unix milliseconds; None: no end.
    ends_ms: int | None
    removed_at: str
    sessions: int = 0


class People:
    """The accounts of one database; the records store has made its tables."""

    def __init__(
        self,
        engine: Engine,
        reader: Engine,
        book: AuditBook,
        settings: AccountSettings | None = None,
        *,
        passwords: Passwords | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._engine = engine
        # A session is looked up on each request: it must not wait for writers.
        self._reader = reader
        self._book = book
        self.settings = settings or AccountSettings()
        self._passwords = passwords or Passwords()
        self._now_ms = now_ms
        self._log = get_log("dashboard")

    @classmethod
    def open(cls, database_url: str, settings: AccountSettings | None = None) -> Self:
        """Opens the database, making or migrating its tables, and the audit key's file; raises
        StoreError."""
        settings = settings or AccountSettings()
        book = AuditBook(load_key(settings.audit_key_file))
        RecordsStore(database_url, wall_time()).close()
        reader = open_engine(database_url, read_only=True)
        return cls(open_engine(database_url), reader, book, settings)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()
        self._reader.dispose()

    # --- accounts -------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        role: Role,
        *,
        by: Actor,
        password: str | None = None,
        site: str | None = None,
        reads_before_ai: bool = False,
        days: float | None = None,
    ) -> None:
        """Makes an account, with a password or for links only; raises AccountError,
        PasswordRefusedError."""
        if not _NAME.fullmatch(name):
            raise AccountError(
                f"name {name[:40]!r}: a lower case letter, then at most 31 of a-z, 0-9, '.', '_', '-'"
            )
        if site is not None and not _SITE.fullmatch(site):
            raise AccountError(f"site {site[:80]!r}: 1-64 of [A-Za-z0-9_-] needed")
        if days is not None and not 0 < days <= 3660:
            raise AccountError(f"days {days:g}: more than 0 and at most 3660 needed")
        kept = "" if password is None else self._passwords.hash(password, name)
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            if find_account(connection, name) is not None:
                raise AccountError(
                    f"there is, or was, an account {name!r}: names are not given twice"
                )
            connection.execute(
                insert(AccountRow).values(
                    name=name,
                    role=role.value,
                    site=site,
                    password_hash=kept,
                    reads_before_ai=reads_before_ai,
                    created_at=time_of(now_ms),
                    ends_ms=None if days is None else now_ms + round(days * 86_400_000),
                )
            )
            self._audit(connection, by, "account_added", name, now_ms, role=role.value)

    def remove(self, name: str, *, by: Actor) -> None:
        """Ends an account and its sessions; its row stays, for what it signed; raises AccountError."""
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            row = find_account(connection, name)
            if row is None or row.removed_at:
                raise AccountError(f"no account {name!r}")
            connection.execute(
                update(AccountRow)
                .where(AccountRow.name == name)
                .values(removed_at=time_of(now_ms), password_hash="")
            )
            connection.execute(delete(SessionRow).where(SessionRow.account == name))
            connection.execute(delete(LinkRow).where(LinkRow.account == name))
            self._audit(connection, by, "account_removed", name, now_ms)

    def set_password(self, name: str, password: str, *, by: Actor) -> None:
        """Gives another password and ends the sessions that the old one opened."""
        kept = self._passwords.hash(password, name)
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            row = find_account(connection, name)
            if row is None or row.removed_at:
                raise AccountError(f"no account {name!r}")
            connection.execute(
                update(AccountRow).where(AccountRow.name == name).values(password_hash=kept)
            )
            connection.execute(delete(SessionRow).where(SessionRow.account == name))
            self._audit(connection, by, "password_set", name, now_ms)

    def list(self) -> list[Account]:
        """Every account, removed ones too, by name."""
        now_ms = self._now_ms()
        alive = (
            select(SessionRow.account, func.count().label("sessions"))
            .where(SessionRow.ends_ms > now_ms)
            .group_by(SessionRow.account)
            .subquery()
        )
        query = (
            select(AccountRow.__table__, func.coalesce(alive.c.sessions, 0).label("sessions"))
            .outerjoin(alive, alive.c.account == AccountRow.name)
            .order_by(AccountRow.name)
        )
        with self._reader.begin() as connection:
            return [
                Account(
                    row.name,
                    Role(row.role),
                    row.site,
                    bool(row.password_hash),
                    row.reads_before_ai,
                    row.created_at,
                    row.ends_ms,
                    row.removed_at,
                    row.sessions,
                )
                for row in connection.execute(query)
            ]

    # --- parts ----------------------------------------------------------------------------------

    def _audit(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        subject: str,
        now_ms: int,
        **detail: str,
    ) -> None:
        self._book.write(connection, actor, action, subject, time_of(now_ms), detail=detail)


def find_account(connection: Connection, name: str) -> Row[Any] | None:
    """The row of an account, ended ones too; None for a name that is none."""
    if not _NAME.fullmatch(name):
        return None  # nor would every database take it
    return connection.execute(select(AccountRow.__table__).where(AccountRow.name == name)).first()


def is_alive(row: Row[Any], now_ms: int) -> bool:
    """Whether it may sign in."""
    return not row.removed_at and (row.ends_ms is None or row.ends_ms > now_ms)


def actor_from(row: Row[Any], address: str) -> Actor:
    """Who acts under this account, from where."""
    return Actor(row.name, Role(row.role), row.site, address, row.reads_before_ai)
