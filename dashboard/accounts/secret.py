"""Tokens of sessions and links: random, and kept as their sha256 only."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

_TOKEN_BYTES: Final = 32


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> str:
    """What the database keeps of it."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
