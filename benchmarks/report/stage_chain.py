"""Stages laid on one axis: each begins at the median end of its predecessor; pure.

Medians of stages do not add up to the median of the whole; the picture says so and draws both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.load.result import PathResult
from wire_protocol.trace import PREDECESSORS, READING_STAGES, Stage

Part = Literal["device", "link", "worker", "inference", "after"]
PART_WORDS: Final[dict[Part, str]] = {
    "device": "on the microscope",
    "link": "from offer to worker",
    "worker": "in the worker",
    "inference": "inference",
    "after": "after the answer",
}
_PARTS: Final[dict[Stage, Part]] = {
    **dict.fromkeys((Stage.CAPTURED, Stage.GATED, Stage.ENCODED, Stage.QUEUED), "device"),
    **dict.fromkeys(
        (
            Stage.OFFERED, Stage.CLAIMED, Stage.FIRST_SENT, Stage.LAST_SENT, Stage.FIRST_RECEIVED,
            Stage.COMPLETED,
        ),
        "link",
    ),
    **dict.fromkeys(
        (Stage.ARCHIVED, Stage.DECODED, Stage.BATCHED, Stage.EXPLAINED, Stage.PUBLISHED), "worker"
    ),
    Stage.INFERRED: "inference",
    **dict.fromkeys((Stage.RECORDED, Stage.SHOWN, *READING_STAGES), "after"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """A stage on the axis of milliseconds since the schedule."""

    stage: Stage
    part: Part
    start_ms: float
    p50_ms: float
    p95_ms: float
    error_ms: float
    #: Whether the answer waits for it.
    is_on_way: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """All stages of a path in their order."""

    links: tuple[Placed, ...]

    def end_of(self, stage: Stage) -> float | None:
        """Its median end."""
        return next((o.start_ms + o.p50_ms for o in self.links if o.stage is stage), None)

    def by_part(self) -> dict[Part, float]:
        """Sums of medians of the stages that the answer waits for."""
        sums: dict[Part, float] = {}
        for one in self.links:
            if one.is_on_way:
                sums[one.part] = sums.get(one.part, 0.0) + one.p50_ms
        return sums


def place_stages(path: PathResult) -> Chain:
    """The stages of a path where they lie; none where none was measured."""
    stages = {Stage(one.name): one for one in path.stages if one.count}
    before = {
        stage: next((s for s in PREDECESSORS.get(stage, ()) if s in stages), None)
        for stage in stages
    }
    on_way: set[Stage] = set()
    last = Stage.PUBLISHED if Stage.PUBLISHED in stages else None
    while last is not None:
        on_way.add(last)
        last = before[last]
    ends: dict[Stage, float] = {}
    links = []
    for stage, one in stages.items():
        earlier = before[stage]
        start_ms = ends.get(earlier, 0.0) if earlier is not None else 0.0
        ends[stage] = start_ms + one.p50_ms
        links.append(
            Placed(
                stage, _PARTS[stage], start_ms, one.p50_ms, one.p95_ms, one.error_ms,
                stage in on_way,
            )
        )  # fmt: skip
    return Chain(tuple(links))
