"""How long sessions and links live and how often a password may be tried: the table `[accounts]` of dashboard.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from service_runtime.settings import Settings


class AccountSettings(Settings):
    """Sessions, links and the limits of guessing."""

    #: A session ends so long after the sign-in, or earlier when nobody used it for idle_s.
    session_s: float = Field(default=12 * 3600, gt=0, le=30 * 86_400)
    idle_s: float = Field(default=2 * 3600, gt=0, le=30 * 86_400)
    #: A one-time link lets in within so long.
    link_s: float = Field(default=300, gt=0, le=86_400)
    #: Failed sign-ins of one account, and from one address, within failure_window_s; then it waits.
    account_failures: int = Field(default=8, ge=1, le=1000)
    address_failures: int = Field(default=30, ge=1, le=10_000)
    failure_window_s: float = Field(default=900, gt=0, le=86_400)
    #: Seals the audit book's end; made at the first start, to be kept apart from the database.
    audit_key_file: Path = Path("var/audit.key")
