"""Clocks and random ids as the wire wants them; nothing here compares clocks of two machines."""

from __future__ import annotations

import secrets
import sys
import time
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """32 hex characters of this boot: monotonic stamps compare only within one.

    Where the kernel has none (macOS) each process gets its own, so that no two are ever compared.
    """
    try:
        return uuid.UUID(_BOOT_ID.read_text(encoding="ascii").strip()).hex
    except (OSError, ValueError):
        return secrets.token_hex(16)


def monotonic_ns() -> int:
    """Nanoseconds of this boot's monotonic clock: the stamp of every stage of a trace."""
    return time.monotonic_ns()


def monotonic_s() -> float:
    """Seconds of the same clock: the `now` that the pure machines are given."""
    return time.monotonic()


def new_id() -> str:
    """128 random bits as 32 lowercase hex characters: image, outbox, store, incarnation."""
    return secrets.token_hex(16)


def new_attempt() -> int:
    """64 random bits, never zero: one per offer."""
    return secrets.randbelow(2**64 - 1) + 1


def wall_time(at: datetime | None = None) -> str:
    """RFC 3339 in UTC with milliseconds, for display only."""
    moment = datetime.now(UTC) if at is None else at.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_is_synced() -> bool:
    """Whether the kernel says that wall time is disciplined; False where it cannot be known.

    A Pi has no clock battery: wall time is shown with this beside it.
    """
    if not sys.platform.startswith("linux"):
        return False
    return Path("/run/systemd/timesync/synchronized").exists() or _adjtimex_is_synced()


def _adjtimex_is_synced() -> bool:
    """adjtimex(2) with modes 0 reads only; its result is TIME_ERROR (5) while unsynchronised."""
    import ctypes

    buffer = ctypes.create_string_buffer(512)  # struct timex is 208 bytes on 64-bit Linux
    try:
        state: int = _libc().adjtimex(buffer)
    except (OSError, AttributeError):
        return False
    return 0 <= state < 5


@cache
def _libc() -> Any:
    """Once: every opening of it makes a class, and each image's trace asks for the clock's state."""
    import ctypes

    return ctypes.CDLL(None)
