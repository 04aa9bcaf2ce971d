"""The rules of the open case: one at a time, closed by a wish, a new case, a stage change or idleness; no I/O.

`now_s` is the boot's monotonic clock. A capture belongs to the case that was open when it was TAKEN,
though it may reach the book later: a slide is changed while the last picture is still encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class By(StrEnum):
    """What opened or closed a case. The end of the agent closes none: see `CaseDesk.start`."""

    OPERATOR = "operator"
    COMMAND = "command"
    CODE = "code"
    FOLDER = "folder"
    IDLE = "idle"
    STAGE = "stage"
    #: The device started anew, and how long the case lay idle is not known.
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class OpenCase:
    """The case that captures belong to now."""

    case_id: str
    #: Which opening of this case it is, from 1: a case may be opened again after it was closed.
    number: int
    by: By
    operator: str
    opened_wall: str
    opened_s: float
    last_seen_s: float
    #: Fields that went on their way, and those that the gate refused.
    fields: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class ClosedCase:
    """A case that was open until `closed_s`."""

    case: OpenCase
    by: By
    operator: str
    closed_s: float


class CaseBook:
    """At most one open case, and the one before it."""

    def __init__(self, idle_close_s: float) -> None:
        self.current: OpenCase | None = None
        self.previous: ClosedCase | None = None
        self._idle_close_s = idle_close_s

    @property
    def deadline(self) -> float | None:
        """When the open case closes by itself; None while none is open."""
        return None if self.current is None else self.current.last_seen_s + self._idle_close_s

    def open(self, case: OpenCase) -> ClosedCase | None:
        """Opens this case; the one that was open is closed by the same cause, at the same moment."""
        closed = self.close(case.by, case.operator, case.opened_s)
        self.current = case
        return closed

    def close(self, by: By, operator: str, now_s: float) -> ClosedCase | None:
        """Closes the open case, where there is one."""
        if self.current is None:
            return None
        self.previous = ClosedCase(self.current, by, operator, now_s)
        self.current = None
        return self.previous

    def close_if_idle(self, now_s: float) -> ClosedCase | None:
        """Closes the open case where its time is over; it ended at its deadline, not when asked."""
        deadline = self.deadline
        if deadline is None or now_s < deadline:
            return None
        return self.close(By.IDLE, "", deadline)

    def seen(self, now_s: float) -> None:
        """Somebody works on the open case: its idle time begins anew."""
        if self.current is not None:
            last = max(self.current.last_seen_s, now_s)
            self.current = replace(self.current, last_seen_s=last)

    def case_at(self, taken_s: float) -> OpenCase | None:
        """The case that a capture taken at `taken_s` belongs to; None: it is unfiled."""
        if self.current is not None and taken_s >= self.current.opened_s:
            return (
                None if taken_s >= self.current.last_seen_s + self._idle_close_s else self.current
            )
        before = self.previous
        if before is not None and before.case.opened_s <= taken_s < before.closed_s:
            return before.case
        return None

    def count(self, case_id: str, *, refused: bool) -> None:
        """A capture of this case is on disk; what comes after the case closed is not counted here."""
        if self.current is not None and self.current.case_id == case_id:
            self.current = replace(
                self.current,
                fields=self.current.fields + (not refused),
                refused=self.current.refused + refused,
            )
