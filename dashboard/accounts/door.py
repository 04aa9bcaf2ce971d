"""The page's door with real accounts: passwords, one-time links and sessions of `store`; it draws nothing."""

from __future__ import annotations

from dashboard.accounts.store import AccountStore, SignInRefusedError
from dashboard.page.door import DoorRefusedError, Person


class AccountDoor:
    """What `dashboard.page.door.Door` asks for."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store

    @property
    def session_s(self) -> float:
        """Seconds that a session lasts."""
        return self._store.settings.session_s

    def person(self, session: str, address: str) -> Person | None:
        """Who has this session; None for one that is forged, ended or too old."""
        found = self._store.session(session, address)
        return None if found is None else Person(found.actor, found.csrf)

    def sign_in(self, name: str, password: str, address: str) -> str:
        """A new session; raises DoorRefusedError."""
        try:
            return self._store.sign_in(name, password, address)
        except SignInRefusedError as error:
            raise DoorRefusedError(str(error), error.retry_after_s) from error

    def enter(self, link: str, address: str) -> str:
        """A new session for a one-time link; raises DoorRefusedError."""
        try:
            return self._store.enter(link, address)
        except SignInRefusedError as error:
            raise DoorRefusedError(str(error), error.retry_after_s) from error

    def leave(self, session: str, address: str) -> None:
        """Ends a session."""
        self._store.sign_out(session, address)
