"""When the next capture is due: open-loop, so that a stall shows as latency; it never sleeps.

Three schedules: as fast as it goes, a fixed rate, and times that a load test planned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

#: A schedule that knows no time yet is asked again after this long.
_LOOK_S = 1.0
#: Of a file that grows by every capture (a closed loop): late by half of this on average.
_LOOK_AT_FILE_S = 0.002


class CaptureSchedule(Protocol):
    """Times are nanoseconds of the monotonic clock."""

    #: How long to rest where it knows no time yet.
    look_s: float

    def due_ns(self, now_ns: int) -> int | None:
        """When the next capture is scheduled, in the past where captures are late; None: not known."""
        ...

    def taken(self) -> None:
        """The capture that was due was made."""
        ...

    def restart(self) -> None:
        """Nothing was scheduled meanwhile (a person paused, or there was nothing to take)."""
        ...


def open_schedule(rate_per_s: float | None, planned: Path | None) -> CaptureSchedule:
    """The schedule that the settings ask for."""
    return Schedule(rate_per_s) if planned is None else PlannedTimes(planned)


class Schedule:
    """Slots at a fixed rate, or one whenever it is asked."""

    look_s = _LOOK_S

    def __init__(self, rate_per_s: float | None) -> None:
        self._gap_ns = None if rate_per_s is None else 1e9 / rate_per_s
        self._start_ns = 0
        self._slot: int | None = None

    def due_ns(self, now_ns: int) -> int:
        """When the next capture is scheduled; in the past where captures are late."""
        if self._gap_ns is None:
            return now_ns
        if self._slot is None:
            self._start_ns, self._slot = now_ns, 0
        return self._start_ns + round(self._slot * self._gap_ns)

    def taken(self) -> None:
        """The slot was used."""
        if self._slot is not None:
            self._slot += 1

    def restart(self) -> None:
        """The next slot is when it is asked for."""
        self._slot = None


class PlannedTimes:
    """Times from a file, which is read as far as whole lines are there; it is followed as it grows."""

    look_s = _LOOK_AT_FILE_S

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._times_ns: list[int] = []
        self._next = 0

    def due_ns(self, now_ns: int) -> int | None:
        """The first time that was not used; raises ValueError where a line is no number."""
        if self._next == len(self._times_ns):
            self._read_on()
        return None if self._next == len(self._times_ns) else self._times_ns[self._next]

    def taken(self) -> None:
        """The time was used."""
        self._next += 1

    def restart(self) -> None:
        """What was planned stays planned: it is late now."""

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._offset += len(whole) + len(newline)
        self._times_ns = [int(line) for line in whole.split()]
        self._next = 0
