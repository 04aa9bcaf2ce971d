"""Accounts, sessions, one-time links and failed sign-ins in the records database; tokens leave it as hashes only.

Every change is written into the audit book in its own transaction. Times are Unix milliseconds of
this machine; nothing of a browser's clock is heard.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, text, update

from dashboard.accounts.passwords import Passwords
from dashboard.accounts.roles import Actor, Role
from dashboard.accounts.settings import AccountSettings
from dashboard.accounts.tables import AccountRow, FailureRow, LinkRow, SessionRow
from dashboard.audit.book import AuditBook, load_key
from dashboard.engine import open_engine
from dashboard.review.store import time_of
from dashboard.store import RecordsStore
from service_runtime.boot import wall_time
from service_runtime.log import get_log
from wire_protocol.ids import LEVEL_PATTERN, OPERATOR_PATTERN

#: A session's last use is written down at most this often: a page asks many times a second.
_NOTE_USE_MS: Final = 60_000
_TOKEN_BYTES: Final = 32
_NAME = re.compile(OPERATOR_PATTERN)
_SITE = re.compile(LEVEL_PATTERN)


class AccountError(ValueError):
    """The wish about an account cannot be fulfilled, in words."""


class SignInRefusedError(Exception):
    """Not let in. The same words for a wrong name and a wrong password."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


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


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A living session."""

    actor: Actor
    csrf: str
    ends_ms: int


class AccountStore:
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
        self._reader = (
            reader  # a session is looked up on each request: it must not wait for writers
        )
        self._book = book
        self.settings = settings or AccountSettings()
        self._passwords = passwords or Passwords()
        self._now_ms = now_ms
        self._log = get_log("dashboard")

    @classmethod
    def open(cls, database_url: str, settings: AccountSettings | None = None) -> AccountStore:
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
            if _account(connection, name) is not None:
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
            row = _account(connection, name)
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
            row = _account(connection, name)
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

    # --- ways in --------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session; raises SignInRefusedError."""
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            row = _account(connection, name)
            waits_s = self._waits_s(connection, name, address, now_ms)
            if waits_s <= 0:  # counted before the password is looked at: many at once are many
                attempt = _count_failure(connection, _subjects(name, address), now_ms)
        if waits_s > 0:  # not into the book, which nobody without an account may fill
            self._log.warning("sign_in_limited", address=address, wait_s=round(waits_s))
            raise SignInRefusedError(
                f"too many sign-ins failed: try again in {waits_s / 60:.0f} min", waits_s
            )
        kept = row.password_hash if row is not None and _is_alive(row, now_ms) else ""
        fits = self._passwords.fits(kept, password)
        with self._engine.begin() as connection:
            row = _account(connection, name)
            if not fits or row is None or not _is_alive(row, now_ms):
                self._audit_attempt(connection, row, address, now_ms, "wrong")
                refused = True
            else:
                refused = False
                mine = FailureRow.subject == _subjects(name, "")[0]
                connection.execute(delete(FailureRow).where(mine | FailureRow.id.in_(attempt)))
                if self._passwords.is_outdated(kept):
                    again = self._passwords.hash(password, name)
                    connection.execute(
                        update(AccountRow)
                        .where(AccountRow.name == name)
                        .values(password_hash=again)
                    )
                token = self._new_session(connection, row, address, now_ms)
                self._audit(connection, _actor(row, address), "sign_in", name, now_ms)
        if refused:
            raise SignInRefusedError("no account with this name and password")
        return token

    def make_link(self, name: str, *, by: Actor) -> str:
        """A token that lets `name` in once, soon; raises AccountError."""
        now_ms = self._now_ms()
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._engine.begin() as connection:
            row = _account(connection, name)
            if row is None or not _is_alive(row, now_ms):
                raise AccountError(f"no account {name!r} that may sign in")
            connection.execute(delete(LinkRow).where(LinkRow.ends_ms < now_ms))
            connection.execute(
                insert(LinkRow).values(
                    token_hash=_digest(token),
                    account=name,
                    ends_ms=now_ms + round(self.settings.link_s * 1000),
                )
            )
            self._audit(connection, by, "link_made", name, now_ms)
        return token

    def enter(self, link: str, address: str) -> str:
        """The token of a new session for a link, which is used up; raises SignInRefusedError."""
        now_ms = self._now_ms()
        token = None
        with self._engine.begin() as connection:
            waits_s = self._waits_s(connection, "", address, now_ms)
            mine = LinkRow.token_hash == _digest(link)
            taken = (
                update(LinkRow)
                .where(mine, LinkRow.used_ms.is_(None), LinkRow.ends_ms > now_ms)
                .values(used_ms=now_ms)
            )
            if waits_s <= 0 and connection.execute(taken).rowcount == 1:
                name = connection.execute(select(LinkRow.account).where(mine)).scalar_one()
                row = _account(connection, name)
                if row is not None and _is_alive(row, now_ms):
                    token = self._new_session(connection, row, address, now_ms)
                    self._audit(connection, _actor(row, address), "link_used", name, now_ms)
            if token is None and waits_s <= 0:
                self._audit_attempt(connection, None, address, now_ms, "link")
                _count_failure(connection, _subjects("", address)[1:], now_ms)
        if token is None:
            raise SignInRefusedError(
                "this link was used, is too old, or is none", max(0.0, waits_s)
            )
        return token

    # --- sessions -------------------------------------------------------------------------------

    def session(self, token: str, address: str = "") -> SignedIn | None:
        """Who has this session; None for one that is forged, ended, idle for too long, or of an
        account that ended."""
        now_ms = self._now_ms()
        digest = _digest(token)
        with self._reader.begin() as connection:
            query = (
                select(
                    AccountRow.__table__,
                    SessionRow.csrf,
                    SessionRow.used_ms,
                    SessionRow.ends_ms.label("session_ends_ms"),
                )
                .join(SessionRow, SessionRow.account == AccountRow.name)
                .where(SessionRow.token_hash == digest)
            )
            row = connection.execute(query).first()
        if row is None or not _is_alive(row, now_ms) or row.session_ends_ms <= now_ms:
            return None
        if now_ms - row.used_ms > self.settings.idle_s * 1000:
            return None
        if now_ms - row.used_ms > _NOTE_USE_MS:
            with self._engine.begin() as writing:
                writing.execute(
                    update(SessionRow).where(SessionRow.token_hash == digest).values(used_ms=now_ms)
                )
        return SignedIn(_actor(row, address), row.csrf, row.session_ends_ms)

    def sign_out(self, token: str, address: str = "") -> None:
        """Ends a session; harmless for none."""
        found = self.session(token, address)
        if found is None:
            return
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            connection.execute(delete(SessionRow).where(SessionRow.token_hash == _digest(token)))
            self._audit(connection, found.actor, "sign_out", found.actor.account, now_ms)

    # --- parts ----------------------------------------------------------------------------------

    def _new_session(self, connection: Connection, row: Row[Any], address: str, now_ms: int) -> str:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        ends_ms = now_ms + round(self.settings.session_s * 1000)
        connection.execute(delete(SessionRow).where(SessionRow.ends_ms <= now_ms))
        connection.execute(
            insert(SessionRow).values(
                token_hash=_digest(token),
                account=row.name,
                csrf=secrets.token_urlsafe(_TOKEN_BYTES),
                address=address[:64],
                created_ms=now_ms,
                ends_ms=ends_ms if row.ends_ms is None else min(ends_ms, row.ends_ms),
                used_ms=now_ms,
            )
        )
        return token

    def _waits_s(self, connection: Connection, name: str, address: str, now_ms: int) -> float:
        """How long this account or address has to wait; 0 or less: not at all."""
        window_ms = round(self.settings.failure_window_s * 1000)
        if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            table = FailureRow.__tablename__
            connection.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
        connection.execute(delete(FailureRow).where(FailureRow.at_ms <= now_ms - window_ms))
        waits_ms = 0
        limits = (self.settings.account_failures, self.settings.address_failures)
        for subject, limit in zip(_subjects(name, address), limits, strict=True):
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

    def _audit_attempt(
        self, connection: Connection, row: Row[Any] | None, address: str, now_ms: int, why: str
    ) -> None:
        """A name that is no account is not written down: people type passwords there."""
        actor = Actor("", None, address=address) if row is None else _actor(row, address)
        subject = "unknown account" if row is None else row.name
        self._audit(connection, actor, "sign_in_failed", subject, now_ms, why=why)

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


def _account(connection: Connection, name: str) -> Row[Any] | None:
    if not _NAME.fullmatch(name):
        return None  # nor would every database take it
    return connection.execute(select(AccountRow.__table__).where(AccountRow.name == name)).first()


def _is_alive(row: Row[Any], now_ms: int) -> bool:
    return not row.removed_at and (row.ends_ms is None or row.ends_ms > now_ms)


def _actor(row: Row[Any], address: str) -> Actor:
    return Actor(row.name, Role(row.role), row.site, address, row.reads_before_ai)


def _subjects(name: str, address: str) -> tuple[str, str]:
    """What failures are counted by; the name as a hash, since people type passwords there."""
    return f"account:{_digest(name)[:32]}", f"address:{address}"[:80]


def _count_failure(connection: Connection, subjects: Sequence[str], now_ms: int) -> list[int]:
    """Counts a failure against each; gives the rows' ids, to take them back on success."""
    return [
        connection.execute(
            insert(FailureRow).values(subject=subject, at_ms=now_ms).returning(FailureRow.id)
        ).scalar_one()
        for subject in subjects
    ]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
