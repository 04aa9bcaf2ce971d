"""Nanosecond time stamps of which no two are alike, whatever the wall clock does; it reads no clock.

InfluxDB overwrites a point by a later one of the same measurement, tags and time stamp. So each
event gets a stamp of its own: the wall clock in steps of a microsecond (or millisecond), each step
used once, and in the last three digits a lane. Within a lane stamps only rise. Where the clock went
back, or a restart came sooner than the lane's reservation runs out, another lane is taken whose
stamps all lie in the past. The reservations live on disk, so that no restart repeats a stamp; the
points of one event share its stamp and differ in their tags.
"""

from __future__ import annotations

from typing import Final

LANES: Final = 1000
#: A lane is reserved this far ahead, so that its file is written now and then only.
RESERVED_US: Final = 10_000_000
#: A clock that went back by less (a slewing NTP) is waited for in small steps, in the same lane.
SLACK_US: Final = 1_000_000


class TimeStamps:
    """Gives out stamps; `ceilings` must be on disk before a stamp of theirs leaves the program."""

    def __init__(self, ceilings: dict[int, int] | None = None, *, step_us: int = 1) -> None:
        #: Lane to the last microsecond that it may have used.
        self.ceilings = dict(ceilings or {})
        self._step_us = step_us
        self._lane = -1
        self._last_us = 0
        #: The latest clock that was seen; in a burst the stamps run ahead of it.
        self._clock_us = 0
        #: Whether `ceilings` changed since this was last set to False.
        self.must_save = False

    def take(self, wall_ns: int) -> int:
        """A stamp at `wall_ns` or the nearest step after it that is free."""
        now_us = wall_ns // 1000
        if self._lane < 0 or now_us < self._clock_us - SLACK_US:
            self._choose_lane(now_us)
            self._clock_us = now_us
        self._clock_us = max(self._clock_us, now_us)
        at_us = max(now_us, self._last_us + 1)
        at_us = -(-at_us // self._step_us) * self._step_us
        if at_us > self.ceilings.get(self._lane, -1):
            self.ceilings[self._lane] = at_us + RESERVED_US
            self.must_save = True
        self._last_us = at_us
        return at_us * 1000 + self._lane

    def _choose_lane(self, now_us: int) -> None:
        """The first lane that lies in the past; where all thousand do not, the one that ends first."""
        lanes = range(LANES)
        free = (lane for lane in lanes if self.ceilings.get(lane, -1) < now_us)
        ends_first = min(lanes, key=lambda lane: self.ceilings.get(lane, -1))
        self._lane = next(free, ends_first)
        self._last_us = self.ceilings.get(self._lane, -1)
