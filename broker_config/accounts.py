"""Who may connect: an account per device, worker pool, store and person; nobody is anonymous."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from wire_protocol.access import (
    BROKER_COUNTERS,
    READS_BROKER_COUNTERS,
    RULES,
    Access,
    Role,
    rule_filter,
)
from wire_protocol.ids import LEVEL_PATTERN
from wire_protocol.topics import Topics

#: Mosquitto checks a password in its only thread: 5,000 rounds take it about 3 ms. The passwords
#: made by `new_password` have 192 random bits, which rounds neither help nor hurt.
PBKDF2_ROUNDS = 5_000
_SALT_BYTES = 12
_LEVEL = re.compile(LEVEL_PATTERN)


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the broker. `site` and `device` are what an edge is pinned to; people have a site."""

    role: Role
    username: str
    password: str = field(repr=False)
    site: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("username", "site", "device"):
            value = getattr(self, name)
            if value is not None and not _LEVEL.fullmatch(value):
                raise ValueError(f"{name} {value!r}: 1-64 of [A-Za-z0-9_-] needed")
        if self.role is Role.EDGE and (self.site is None or self.device is None):
            raise ValueError(f"account {self.username}: an edge needs site and device")
        if not self.password:
            raise ValueError(f"account {self.username}: an empty password is anonymous access")

    def identity(self) -> dict[str, str]:
        """The levels this account is pinned to: an edge's program and peer are its device id,
        everyone else's are the username."""
        name = self.device or self.username
        levels = {"program": name, "peer": name}
        if self.site is not None:
            levels["site"] = self.site
        if self.device is not None:
            levels["device"] = self.device
        return levels


def new_password() -> str:
    """192 random bits, printable."""
    return secrets.token_urlsafe(24)


def hash_password(password: str, *, salt: bytes | None = None, rounds: int = PBKDF2_ROUNDS) -> str:
    """Mosquitto's own format, $7$rounds$salt$PBKDF2-HMAC-SHA512, so mosquitto_passwd is not needed."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def check_accounts(accounts: Sequence[Account]) -> None:
    """Raises ValueError where two accounts share a username or two edges a device id."""
    for name in ("username", "device"):
        seen: set[str] = set()
        for account in accounts:
            value = getattr(account, name)
            if value in seen:
                raise ValueError(f"two accounts have the {name} {value!r}")
            if value is not None:
                seen.add(value)


def password_lines(accounts: Sequence[Account]) -> str:
    """The text of Mosquitto's password file."""
    return "".join(f"{a.username}:{hash_password(a.password)}\n" for a in accounts)


def access_lines(accounts: Sequence[Account], topics: Topics) -> str:
    """The text of Mosquitto's access file: what RULES allow each account; all else is denied."""
    lines = ["# Rendered from wire_protocol.access: change the rules there, not here."]
    for account in accounts:
        lines += ["", f"# {account.role.value}", f"user {account.username}"]
        for rule in RULES[account.role]:
            word = "write" if rule.access is Access.PUBLISH else "read"
            lines.append(f"topic {word} {rule_filter(topics, rule, account.identity())}")
        if account.role in READS_BROKER_COUNTERS:
            lines.append(f"topic read {BROKER_COUNTERS}")
    return "\n".join(lines) + "\n"
