"""What was heard of one image so far, by program, boot and attempt, and how that becomes one trace; it is bounded.

Several workers may have had the image, and its device may have booted in between: the trace follows
the attempt that was recorded, else one that a worker published, else the device's last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from wire_protocol.clock_legs import ClockLeg, Instant, elapsed
from wire_protocol.joined_trace import JoinedTrace, Moment, stage_times, total_times
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import EDGE_STAGES, READING_STAGES, WORKER_STAGES, Stage

#: Programs, boots and attempts of one image, and comparisons of clocks, that are kept.
MOST_SOURCES: Final = 64
MOST_LEGS: Final = 64
CAPTURE_STAGES: Final = EDGE_STAGES[: EDGE_STAGES.index(Stage.OFFERED)]
TRANSFER_STAGES: Final = EDGE_STAGES[EDGE_STAGES.index(Stage.OFFERED) :]
#: Ends that several programs may tell of: the first counts.
ENDS: Final[dict[Stage, tuple[str, ...]]] = {
    Stage.RECORDED: ("records",),
    Stage.SHOWN: ("watch", "page"),
    Stage.OPENED: ("page",),
    Stage.SIGNED: ("page",),
}
#: Which program may tell of which stage.
STAGES_OF: Final[dict[str, tuple[Stage, ...]]] = {
    "edge": EDGE_STAGES,
    "worker": WORKER_STAGES,
    "records": (Stage.RECORDED,),
    "watch": (Stage.SHOWN,),
    "page": (Stage.SHOWN, *READING_STAGES),
}


@dataclass(frozen=True, slots=True, order=True)
class _Source:
    program: str
    id: str
    boot_id: str
    attempt: str


@dataclass(slots=True)
class _Told:
    """The stamps of one source; wall minus monotonic time, where it said so."""

    stamps_ns: dict[Stage, int] = field(default_factory=dict)
    size_bytes: int | None = None
    wall: tuple[int, bool] | None = None

    def add(self, fragment: TraceFragment) -> None:
        """The first end counts, of all other stages the last mark."""
        for stage in STAGES_OF[fragment.program]:
            at_ns = fragment.stamps_ns.get(stage.value)
            if at_ns is None:
                continue
            known_ns = self.stamps_ns.get(stage, at_ns)
            self.stamps_ns[stage] = min(known_ns, at_ns) if stage in ENDS else max(known_ns, at_ns)
        if fragment.size_bytes is not None:
            self.size_bytes = max(fragment.size_bytes, self.size_bytes or 0)
        if fragment.told_unix_ns is not None and fragment.told_ns is not None:
            wall = (fragment.told_unix_ns - fragment.told_ns, fragment.clock_synced)
            self.wall = wall if self.wall is None else max(self.wall, wall, key=lambda w: w[::-1])


class GatheredTrace:
    """The fragments of one image."""

    def __init__(self, image_id: str) -> None:
        self._image_id = image_id
        self._told: dict[_Source, _Told] = {}
        self._legs: set[ClockLeg] = set()

    def add(self, fragment: TraceFragment) -> bool:
        """Takes a fragment in; False where the image has too many sources already."""
        source = _Source(fragment.program, fragment.id, fragment.boot_id, fragment.attempt)
        if source not in self._told and len(self._told) >= MOST_SOURCES:
            return False
        self._told.setdefault(source, _Told()).add(fragment)
        leg = _leg_of(fragment)
        if leg is not None and len(self._legs) < MOST_LEGS:
            self._legs.add(leg)
        return True

    @property
    def has_ended(self) -> bool:
        """Whether it was published or recorded."""
        ends = (Stage.PUBLISHED, Stage.RECORDED)
        return any(end in told.stamps_ns for told in self._told.values() for end in ends)

    def has(self, stages: Sequence[Stage]) -> bool:
        """Whether the trace has all of these."""
        told = {stage for told in self._told.values() for stage in told.stamps_ns}
        return told.issuperset(stages) and self._moments(self._attempt()).keys() >= set(stages)

    def join(self, awaited: Sequence[Stage]) -> JoinedTrace:
        """The trace as far as it is known."""
        attempt = self._attempt()
        moments = self._moments(attempt)
        legs = sorted(self._legs, key=lambda leg: (leg.boot_id, leg.records_boot_id, leg.at_ns))
        captured = moments.get(Stage.CAPTURED)
        wall = None if captured is None else self._wall(captured)
        sizes = [told.size_bytes for told in self._told.values() if told.size_bytes is not None]
        return JoinedTrace(
            image_id=self._image_id,
            device=self._id_of("edge", attempt),
            worker=self._id_of("worker", attempt),
            attempt=attempt,
            size_bytes=max(sizes, default=None),
            moments=tuple(moments[stage] for stage in Stage if stage in moments),
            legs=tuple(legs),
            stages=stage_times(moments, legs),
            totals=total_times(moments, legs),
            captured_unix_ns=None if captured is None or wall is None else wall[0] + captured.at.ns,
            clock_synced=wall is not None and wall[1],
            is_complete=moments.keys() >= set(awaited),
        )

    # --- choosing -------------------------------------------------------------------------------

    def _of(self, program: str) -> list[tuple[_Source, _Told]]:
        return sorted(
            ((source, told) for source, told in self._told.items() if source.program == program),
            key=lambda pair: pair[0],
        )

    def _attempt(self) -> str:
        """The attempt that the trace follows, "" before there is one."""
        edge = [source.attempt for source, _ in self._of("edge")]
        for source, _ in self._of("records"):
            if source.attempt:
                return source.attempt
        published = [
            s.attempt for s, told in self._of("worker") if Stage.PUBLISHED in told.stamps_ns
        ]
        for candidates in ([one for one in published if one in edge], published):
            if candidates:
                return candidates[0]
        last = [
            (max(told.stamps_ns.values(), default=0), source.attempt)
            for source, told in self._of("edge")
            if source.attempt
        ]
        return max(last, default=(0, ""))[1]

    def _moments(self, attempt: str) -> dict[Stage, Moment]:
        moments: dict[Stage, Moment] = {}
        this = [(source, told) for source, told in self._told.items() if source.attempt == attempt]
        moments.update(_whole("edge", CAPTURE_STAGES, self._told.items()))
        moments.update(_whole("edge", TRANSFER_STAGES, this))
        moments.update(_whole("worker", WORKER_STAGES, this))
        for end, programs in ENDS.items():
            first = self._first(programs, end, attempt, moments.get(Stage.PUBLISHED))
            if first is not None:
                moments[end] = first
        return moments

    def _first(
        self, programs: Sequence[str], end: Stage, attempt: str, published: Moment | None
    ) -> Moment | None:
        """The earliest of several stores or terminals, of this attempt where one tells of it."""
        told_of = [pair for program in programs for pair in self._of(program)]
        heard = [(s, told.stamps_ns[end]) for s, told in told_of if end in told.stamps_ns]
        heard = [pair for pair in heard if pair[0].attempt == attempt] or heard

        def order(pair: tuple[_Source, int]) -> tuple[bool, int, _Source]:
            source, ns = pair
            instant = Instant(source.boot_id, ns)
            took = None if published is None else elapsed(published.at, instant, self._legs)
            return took is None, ns if took is None else took.ns, source

        best = min(heard, key=order, default=None)
        return None if best is None else _moment(end, best[0], best[1])

    def _id_of(self, program: str, attempt: str) -> str:
        """Who: of this attempt, else the only kind that can be, its first by name."""
        sources = [source for source, _ in self._of(program)]
        of_this = [source for source in sources if source.attempt == attempt]
        return next((source.id for source in of_this or sources), "")

    def _wall(self, captured: Moment) -> tuple[int, bool] | None:
        said = [
            told.wall
            for source, told in self._of(captured.program)
            if source.boot_id == captured.at.boot_id and told.wall is not None
        ]
        return max(said, key=lambda wall: wall[::-1], default=None)


def _whole(
    program: str, stages: Sequence[Stage], sources: Iterable[tuple[_Source, _Told]]
) -> dict[Stage, Moment]:
    """These stages from ONE life of the program: the boot that tells of most of them."""
    by_life: dict[tuple[str, str], dict[Stage, Moment]] = {}
    for source, told in sources:
        if source.program != program:
            continue
        life = by_life.setdefault((source.id, source.boot_id), {})
        for stage in stages:
            if stage in told.stamps_ns:
                moment = _moment(stage, source, told.stamps_ns[stage])
                known = life.get(stage)
                life[stage] = moment if known is None or moment.at.ns > known.at.ns else known
    most = max(by_life, key=lambda life: (len(by_life[life]), life), default=None)
    return {} if most is None else by_life[most]


def _moment(stage: Stage, source: _Source, ns: int) -> Moment:
    return Moment(stage, Instant(source.boot_id, ns), source.program, source.id)


def _leg_of(fragment: TraceFragment) -> ClockLeg | None:
    records_boot_id, offset_ns = fragment.records_boot_id, fragment.clock_offset_ns
    error_ns, at_ns = fragment.clock_error_ns, fragment.clock_at_ns
    if records_boot_id is None or offset_ns is None or error_ns is None or at_ns is None:
        return None
    if records_boot_id == fragment.boot_id:
        return None  # the same clock: nothing was to be compared
    return ClockLeg(fragment.boot_id, records_boot_id, offset_ns, error_ns, at_ns)
