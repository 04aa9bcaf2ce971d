"""A door without accounts: one link lets in one browser, once; sessions live as long as this process."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass, field, replace
from threading import Lock

from dashboard.accounts.roles import Actor, Role
from dashboard.page.door import DoorRefusedError, Person


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class LinkDoor:
    """Links and sessions are kept as digests only."""

    session_s: float = 86_400.0
    _links: dict[str, Actor] = field(default_factory=dict)
    _sessions: dict[str, tuple[Person, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def new_link(self, actor: Actor | str, role: Role = Role.HEMATOLOGIST) -> str:
        """A link for somebody of this name."""
        link = secrets.token_urlsafe(24)
        with self._lock:
            known = Actor(actor, role) if isinstance(actor, str) else actor
            self._links[_digest(link)] = known
        return link

    def person(self, session: str, address: str) -> Person | None:
        with self._lock:
            found = self._sessions.get(_digest(session))
        if found is None or time.monotonic() > found[1]:
            return None
        return found[0]

    def sign_in(self, name: str, password: str, address: str) -> str:
        raise DoorRefusedError("there are no passwords here: use the link from the terminal")

    def enter(self, link: str, address: str) -> str:
        with self._lock:
            found = self._links.pop(_digest(link), None)
            if found is None:
                raise DoorRefusedError("this link was used already, or is none")
            session = secrets.token_urlsafe(32)
            person = Person(replace(found, address=address), secrets.token_hex(16))
            self._sessions[_digest(session)] = (person, time.monotonic() + self.session_s)
        return session

    def leave(self, session: str, address: str) -> None:
        with self._lock:
            self._sessions.pop(_digest(session), None)
