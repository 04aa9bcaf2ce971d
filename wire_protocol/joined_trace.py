"""One image's trace, joined from its programs' fragments: each stage's duration with its error; it guesses nothing.

Durations on one boot are exact. Between machines they carry the errors of both clock legs. A stage
whose stamps are missing, that spans a reboot of one program's machine, or whose clocks were never
compared with the same records store, is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from wire_protocol.clock_legs import ClockLeg, Instant, elapsed
from wire_protocol.trace import PREDECESSORS, Stage

#: The whole way counts from the capture, and from the moment it was due, so that a camera or an
#: encoder that falls behind is not hidden (coordinated omission).
TOTAL_STARTS: Final = (Stage.SCHEDULED, Stage.CAPTURED)
TOTAL_ENDS: Final = (Stage.PUBLISHED, Stage.RECORDED, Stage.SHOWN)


@dataclass(frozen=True, slots=True)
class StageTime:
    """Milliseconds from `start` to `stage`, give or take `error_ms` (0 on one machine)."""

    stage: Stage
    start: Stage
    duration_ms: float
    error_ms: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When a program reached a stage."""

    stage: Stage
    at: Instant
    program: str
    id: str


@dataclass(frozen=True, slots=True)
class JoinedTrace:
    """What is known of one image's way; `attempt` is the one that led to its record."""

    image_id: str
    device: str
    worker: str
    attempt: str
    size_bytes: int | None
    #: In the order of the path.
    moments: tuple[Moment, ...]
    legs: tuple[ClockLeg, ...]
    stages: tuple[StageTime, ...]
    #: From TOTAL_STARTS to TOTAL_ENDS, those that are known.
    totals: tuple[StageTime, ...]
    #: Unix nanoseconds of the capture as the device's wall clock said; for display and as a
    #: time stamp, never for a difference.
    captured_unix_ns: int | None
    clock_synced: bool
    #: Whether nothing more was awaited when it was taken.
    is_complete: bool

    def has(self, stage: Stage) -> bool:
        """Whether a program told when it reached this stage."""
        return any(moment.stage is stage for moment in self.moments)

    def between(self, start: Stage, end: Stage) -> StageTime | None:
        """The time between any two stages, None where it is not known."""
        found = {moment.stage: moment for moment in self.moments}
        return stage_time(start, end, found, self.legs)

    def stage(self, stage: Stage) -> StageTime | None:
        """This stage's time, None where it is not known."""
        return next((one for one in self.stages if one.stage is stage), None)

    def total(self, start: Stage, end: Stage) -> StageTime | None:
        """One of the totals, None where it is not known."""
        return next((one for one in self.totals if (one.start, one.stage) == (start, end)), None)


def stage_time(
    start: Stage, end: Stage, moments: Mapping[Stage, Moment], legs: Collection[ClockLeg]
) -> StageTime | None:
    """The time between two moments; None where one is missing or their clocks do not compare."""
    first, last = moments.get(start), moments.get(end)
    if first is None or last is None:
        return None
    is_same_program = (first.program, first.id) == (last.program, last.id)
    if is_same_program and first.at.boot_id != last.at.boot_id:
        return None  # a reboot lies between them
    took = elapsed(first.at, last.at, legs)
    return None if took is None else StageTime(end, start, took.ns / 1e6, took.error_ns / 1e6)


def stage_times(
    moments: Mapping[Stage, Moment], legs: Collection[ClockLeg]
) -> tuple[StageTime, ...]:
    """Each stage from the nearest one before it that has a stamp."""
    times = []
    for stage in Stage:
        start = next((s for s in PREDECESSORS.get(stage, ()) if s in moments), None)
        took = None if start is None else stage_time(start, stage, moments, legs)
        if took is not None:
            times.append(took)
    return tuple(times)


def total_times(
    moments: Mapping[Stage, Moment], legs: Collection[ClockLeg]
) -> tuple[StageTime, ...]:
    """The whole way, from each start to each end."""
    every = [stage_time(start, end, moments, legs) for start in TOTAL_STARTS for end in TOTAL_ENDS]
    return tuple(took for took in every if took is not None)
