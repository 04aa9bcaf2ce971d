"""Measures by name, and a line per target: the median over repetitions against its limit; pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.load.measure_names import HANDOFF, unit_of
from benchmarks.load.result import (
    Latency,
    PathResult,
    PhysicalLimit,
    Repetition,
    Sweep,
    VerdictLine,
)
from benchmarks.load.scenario import TargetSettings

#: Of these the worst repetition counts, not the median one.
_WORST = ("lost", "duplicates")


def judge(
    targets: Sequence[TargetSettings],
    repetitions: Sequence[Repetition],
    limits: Sequence[PhysicalLimit],
    sweep: Sweep | None,
) -> tuple[VerdictLine, ...]:
    """A line for each target, in their order."""
    return tuple(_line(target, repetitions, limits, sweep) for target in targets)


def measure(
    name: str,
    repetition: Repetition,
    limits: Sequence[PhysicalLimit] = (),
    sweep: Sweep | None = None,
) -> float | None:
    """The figure that a name points at; None where this repetition has none."""
    kind, *rest = name.split(".")
    own = repetition.hemowire
    match kind:
        case "total":
            return _point(own.totals, *rest)
        case "stage":
            return _point(own.stages, *rest)
        case "images_per_s":
            return own.images_per_s
        case "bytes_per_s":
            return own.bytes_per_s or None
        case "lost":
            return float(repetition.counts.lost + repetition.counts.held)
        case "duplicates":
            return float(repetition.counts.duplicates)
        case "engine_share":
            return _divided(own.images_per_s, repetition.engine.images_per_s)
        case "program":
            return _use(own, *rest)
        case "sweep":
            return None if sweep is None else _knee(sweep)
        case "times_limit":
            limit = next((item.value for item in limits if item.applies_to == rest[0]), None)
            return _divided(_point(own.totals, *rest), limit)
    other = next((path for path in repetition.baselines if path.path == rest[0]), None)
    if other is None:
        return None
    our_path = our_way(repetition)
    if kind == "ratio":
        return _divided(getattr(our_path, rest[1]), getattr(other, rest[1]))
    theirs, ours = _point(other.totals, *rest[1:]), _point(our_path.totals, *rest[1:])
    if kind == "baseline":
        return theirs
    if ours is None or theirs is None:
        return None
    return ours - theirs if kind == "over" else _divided(theirs, ours)


def our_way(repetition: Repetition) -> PathResult:
    """What is compared with the baselines: the hand-off alone where it ran, else the whole path."""
    paths = (path for path in repetition.baselines if path.path == HANDOFF)
    return next(paths, repetition.hemowire)


def _line(
    target: TargetSettings,
    repetitions: Sequence[Repetition],
    limits: Sequence[PhysicalLimit],
    sweep: Sweep | None,
) -> VerdictLine:
    name = target.measure
    found = [measure(name, repetition, limits, sweep) for repetition in repetitions]
    values = tuple(value for value in found if value is not None)
    limit = target.at_most if target.at_most is not None else target.at_least
    assert limit is not None
    measured = passed = None
    note = "no repetition has this figure" if not values else ""
    if values:
        measured = max(values) if name in _WORST else statistics.median(values)
        passed = measured <= limit if target.at_most is not None else measured >= limit
        if len(values) < len(found):
            note = f"only {len(values)} of {len(found)} repetitions have this figure"
    return VerdictLine(
        text=target.text,
        measure=name,
        measured=measured,
        per_repetition=values,
        limit=limit,
        direction="at_most" if target.at_most is not None else "at_least",
        unit=unit_of(name),
        passed=passed,
        note=note,
    )


def _point(latencies: Sequence[Latency], name: str, point: str) -> float | None:
    found = next((one for one in latencies if one.name == name and one.count), None)
    return None if found is None else float(getattr(found, point))


def _use(path: PathResult, program: str, use: str) -> float | None:
    values = []
    for process in path.processes:
        if process.program != program:
            continue
        if use == "growth_bytes":
            if process.rss_before_bytes is not None:
                values.append(float(process.peak_rss_bytes - process.rss_before_bytes))
        elif (value := getattr(process, use)) is not None:
            values.append(float(value))
    return max(values, default=None)


def _knee(sweep: Sweep) -> float | None:
    """The knee, at least the highest rate where all were held."""
    if sweep.knee_per_s is None and sweep.points and all(p.is_held for p in sweep.points):
        return sweep.points[-1].offered_per_s
    return sweep.knee_per_s


def _divided(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under
