"""Who comes in: passwords, one-time links and sessions, over the accounts of the same database.

Tokens leave it as hashes only. Every way in, and every attempt at an account that there is, is written into the
audit book in its own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from dashboard.accounts.failures import count_failure, subjects, waits_s
from dashboard.accounts.people import AccountError, People, actor_from, find_account, is_alive
from dashboard.accounts.roles import Actor
from dashboard.accounts.secret import digest, new_token
from dashboard.accounts.tables import AccountRow, FailureRow, LinkRow, SessionRow

#: A session's last use is written down at most this often: a page asks many times a second.
_NOTE_USE_MS: Final = 60_000


class SignInRefusedError(Exception):
    """Not let in. The same words for a wrong name and a wrong password."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A living session."""

    actor: Actor
    csrf: str
    ends_ms: int


class AccountStore(People):
    """The accounts of one database, and who is signed in."""

    # --- ways in --------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session; raises SignInRefusedError."""
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            row = find_account(connection, name)
            wait_s = waits_s(connection, self.settings, name, address, now_ms)
            if wait_s <= 0:  # counted before the password is looked at: many at once are many
                attempt = count_failure(connection, subjects(name, address), now_ms)
        if wait_s > 0:  # not into the book, which nobody without an account may fill
            self._log.warning("sign_in_limited", address=address, wait_s=round(wait_s))
            raise SignInRefusedError(
                f"too many sign-ins failed: try again in {wait_s / 60:.0f} min", wait_s
            )
        kept = row.password_hash if row is not None and is_alive(row, now_ms) else ""
        fits = self._passwords.fits(kept, password)
        with self._engine.begin() as connection:
            row = find_account(connection, name)
            if not fits or row is None or not is_alive(row, now_ms):
                self._audit_attempt(connection, row, address, now_ms, "wrong")
                refused = True
            else:
                refused = False
                mine = FailureRow.subject == subjects(name, "")[0]
                connection.execute(delete(FailureRow).where(mine | FailureRow.id.in_(attempt)))
                if self._passwords.is_outdated(kept):
                    again = self._passwords.hash(password, name)
                    connection.execute(
                        update(AccountRow)
                        .where(AccountRow.name == name)
                        .values(password_hash=again)
                    )
                token = self._new_session(connection, row, address, now_ms)
                self._audit(connection, actor_from(row, address), "sign_in", name, now_ms)
        if refused:
            raise SignInRefusedError("no account with this name and password")
        return token

    def make_link(self, name: str, *, by: Actor) -> str:
        """A token that lets `name` in once, soon; raises AccountError."""
        now_ms = self._now_ms()
        token = new_token()
        with self._engine.begin() as connection:
            row = find_account(connection, name)
            if row is None or not is_alive(row, now_ms):
                raise AccountError(f"no account {name!r} that may sign in")
            connection.execute(delete(LinkRow).where(LinkRow.ends_ms < now_ms))
            connection.execute(
                insert(LinkRow).values(
                    token_hash=digest(token),
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
            wait_s = waits_s(connection, self.settings, "", address, now_ms)
            mine = LinkRow.token_hash == digest(link)
            taken = (
                update(LinkRow)
                .where(mine, LinkRow.used_ms.is_(None), LinkRow.ends_ms > now_ms)
                .values(used_ms=now_ms)
            )
            if wait_s <= 0 and connection.execute(taken).rowcount == 1:
                name = connection.execute(select(LinkRow.account).where(mine)).scalar_one()
                row = find_account(connection, name)
                if row is not None and is_alive(row, now_ms):
                    token = self._new_session(connection, row, address, now_ms)
                    self._audit(connection, actor_from(row, address), "link_used", name, now_ms)
            if token is None and wait_s <= 0:
                self._audit_attempt(connection, None, address, now_ms, "link")
                count_failure(connection, subjects("", address)[1:], now_ms)
        if token is None:
            raise SignInRefusedError("this link was used, is too old, or is none", max(0.0, wait_s))
        return token

    # --- sessions -------------------------------------------------------------------------------

    def session(self, token: str, address: str = "") -> SignedIn | None:
        """Who has this session; None for one that is forged, ended, idle for too long, or of an
        account that ended."""
        now_ms = self._now_ms()
        token_hash = digest(token)
        with self._reader.begin() as connection:
            query = (
                select(
                    AccountRow.__table__,
                    SessionRow.csrf,
                    SessionRow.used_ms,
                    SessionRow.ends_ms.label("session_ends_ms"),
                )
                .join(SessionRow, SessionRow.account == AccountRow.name)
                .where(SessionRow.token_hash == token_hash)
            )
            row = connection.execute(query).first()
        if row is None or not is_alive(row, now_ms) or row.session_ends_ms <= now_ms:
            return None
        if now_ms - row.used_ms > self.settings.idle_s * 1000:
            return None
        if now_ms - row.used_ms > _NOTE_USE_MS:
            with self._engine.begin() as writing:
                writing.execute(
                    update(SessionRow)
                    .where(SessionRow.token_hash == token_hash)
                    .values(used_ms=now_ms)
                )
        return SignedIn(actor_from(row, address), row.csrf, row.session_ends_ms)

    def sign_out(self, token: str, address: str = "") -> None:
        """Ends a session; harmless for none."""
        found = self.session(token, address)
        if found is None:
            return
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            connection.execute(delete(SessionRow).where(SessionRow.token_hash == digest(token)))
            self._audit(connection, found.actor, "sign_out", found.actor.account, now_ms)

    # --- parts ----------------------------------------------------------------------------------

    def _new_session(self, connection: Connection, row: Row[Any], address: str, now_ms: int) -> str:
        token = new_token()
        ends_ms = now_ms + round(self.settings.session_s * 1000)
        connection.execute(delete(SessionRow).where(SessionRow.ends_ms <= now_ms))
        connection.execute(
            insert(SessionRow).values(
                token_hash=digest(token),
                account=row.name,
                csrf=new_token(),
                address=address[:64],
                created_ms=now_ms,
                ends_ms=ends_ms if row.ends_ms is None else min(ends_ms, row.ends_ms),
                used_ms=now_ms,
            )
        )
        return token

    def _audit_attempt(
        self, connection: Connection, row: Row[Any] | None, address: str, now_ms: int, why: str
    ) -> None:
        """A name that is no account is not written down: people type passwords there."""
        actor = Actor("", None, address=address) if row is None else actor_from(row, address)
        subject = "unknown account" if row is None else row.name
        self._audit(connection, actor, "sign_in_failed", subject, now_ms, why=why)
