"""Passwords as argon2id hashes; it refuses short ones and keeps no clear one."""

from __future__ import annotations

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_CHARACTERS: Final = 12
MOST_BYTES: Final = 1024
#: Each look at a password takes 64 MiB; more of them wait.
_AT_ONCE: Final = 2


class PasswordRefusedError(ValueError):
    """Not a password that is kept."""


class Passwords:
    """RFC 9106's second choice (64 MiB, 3 passes): some 50 ms of one core a try."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._at_once = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self._hasher.hash("no account has this password")

    def hash(self, password: str, name: str) -> str:
        """The hash to keep; raises PasswordRefusedError."""
        if len(password) < LEAST_CHARACTERS:
            raise PasswordRefusedError(
                f"the password has {len(password)} characters, at least {LEAST_CHARACTERS} needed"
            )
        encoded = password.encode(errors="replace")
        if len(encoded) > MOST_BYTES or "\0" in password or encoded.decode() != password:
            raise PasswordRefusedError(f"the password must be text of at most {MOST_BYTES} bytes")
        if len(password.lower().replace(name, "")) < LEAST_CHARACTERS // 2:
            raise PasswordRefusedError("the password is little more than the account's name")
        return self._hasher.hash(password)

    def fits(self, kept: str, password: str) -> bool:
        """Whether it is the password. Without a hash it takes as long and says no, so that nobody
        learns by the clock which accounts there are."""
        given = password.encode(errors="replace")
        is_long = len(given) > MOST_BYTES
        try:
            with self._at_once:
                fits = self._hasher.verify(kept or self._nobody, b"" if is_long else given)
        except (VerificationError, InvalidHashError):
            return False
        return fits and bool(kept) and not is_long

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(kept)
