"""How one boot's monotonic clock stands to the records store's, and what two stamps of different boots are apart.

Clocks meet in a star: each machine is compared with the records store only. Two stamps of one boot
are compared exactly, two of different boots through one boot of the records store that both were
compared with, and otherwise not at all. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Two quartz clocks drift apart by at most this, in nanoseconds a second: 50 ppm.
DRIFT_NS_PER_S: Final = 50_000


@dataclass(frozen=True, slots=True)
class ClockLeg:
    """Nanoseconds of `boot_id` plus `offset_ns` are nanoseconds of `records_boot_id`."""

    boot_id: str
    records_boot_id: str
    offset_ns: int
    #: Half the round trip, at `at_ns` of `boot_id`.
    error_ns: int
    at_ns: int

    def error_at(self, stamp_ns: int) -> int:
        """The error at another moment: the clocks may have drifted apart in between, either way."""
        return self.error_ns + abs(stamp_ns - self.at_ns) * DRIFT_NS_PER_S // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Instant:
    """A stamp and the boot whose monotonic clock it was read from."""

    boot_id: str
    ns: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Nanoseconds between two instants, give or take `error_ns`."""

    ns: int
    error_ns: int


def elapsed(start: Instant, end: Instant, legs: Collection[ClockLeg]) -> Elapsed | None:
    """From `start` to `end` by the surest way that the legs allow, None where they allow none."""
    if start.boot_id == end.boot_id:
        return Elapsed(end.ns - start.ns, 0)
    ways = [
        Elapsed(there.ns - here.ns, here.error_ns + there.error_ns)
        for records_boot_id in sorted({leg.records_boot_id for leg in legs})
        if (here := _on_records(start, records_boot_id, legs)) is not None
        and (there := _on_records(end, records_boot_id, legs)) is not None
    ]
    return min(ways, key=lambda way: (way.error_ns, way.ns), default=None)


def _on_records(
    instant: Instant, records_boot_id: str, legs: Collection[ClockLeg]
) -> Elapsed | None:
    """The instant on the clock of that boot of the records store, with its error."""
    if instant.boot_id == records_boot_id:
        return Elapsed(instant.ns, 0)
    own = [
        leg
        for leg in legs
        if (leg.boot_id, leg.records_boot_id) == (instant.boot_id, records_boot_id)
    ]
    best = min(own, key=lambda leg: (leg.error_at(instant.ns), leg.offset_ns), default=None)
    if best is None:
        return None
    return Elapsed(instant.ns + best.offset_ns, best.error_at(instant.ns))
