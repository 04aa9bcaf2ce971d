"""Who comes in: what the page needs of accounts and sessions; how a password is checked is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dashboard.accounts.roles import Actor


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in; `csrf` is asked back with everything that changes something."""

    actor: Actor
    csrf: str


class DoorRefusedError(Exception):
    """Not let in; the message is for the person. `retry_after_s` where it may be tried again."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Door(Protocol):
    """Calls may block and come from worker threads; `address` is where the browser is."""

    @property
    def session_s(self) -> float:
        """Seconds that a session lasts."""
        ...

    def person(self, session: str, address: str) -> Person | None:
        """Who has this session; None for one that is forged, ended or too old."""
        ...

    def sign_in(self, name: str, password: str, address: str) -> str:
        """A new session; raises DoorRefusedError."""
        ...

    def enter(self, link: str, address: str) -> str:
        """A new session for a one-time link; raises DoorRefusedError."""
        ...

    def leave(self, session: str, address: str) -> None:
        """Ends a session."""
        ...
