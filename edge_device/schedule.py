"""When the next capture is due: open-loop, so that a stall shows as latency; it never sleeps."""

from __future__ import annotations


class Schedule:
    """Slots at a fixed rate, or one whenever it is asked; times are monotonic nanoseconds."""

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
        """The next slot is when it is asked for: nothing was scheduled meanwhile (a person paused,
        or there was nothing to take)."""
        self._slot = None
