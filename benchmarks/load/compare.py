"""What changed between two results beyond noise: a bootstrap over repetitions; unlike is not compared with unlike.

For each figure, repetitions are drawn with replacement on either side, and within each drawn
repetition the percentile is drawn anew from its own histogram (the k-th of n samples lies at a
quantile that is Beta distributed), so that few images make a wide interval. The change is the
difference of the two medians over repetitions. Few repetitions know little of their own spread:
the interval is widened by the small-sample factors of a t interval. A change is beyond noise where
the interval leaves out zero and the change is at least SMALLEST of the old figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.histogram import values_of
from benchmarks.load.measure_names import unit_of
from benchmarks.load.result import Document, PathResult, Repetition
from benchmarks.load.verdict import measure

Values = NDArray[np.float64]
#: Share of the old figure below which a change is of no interest, however sure.
SMALLEST = 0.02
#: Other programs may take this much of one core; a baseline may move by this share.
NOISE_PERCENT = 15.0
_BASELINE_MOVES = 0.15
_DRAWS = 2000
_CONFIDENCE = 0.95
#: t (0.975) over the normal's 1.96, by degrees of freedom; 1 from there on.
_WIDEN = {2: 2.20, 3: 1.62, 4: 1.42, 5: 1.31, 6: 1.25, 8: 1.18, 10: 1.14, 14: 1.09, 18: 1.07}
LEAST_REPETITIONS = 3
_SEED = 20_000
_POINTS = {"p50_ms": 50.0, "p99_ms": 99.0}
_SCALARS = (
    "images_per_s", "program.worker.cpu_s", "program.edge.cpu_s", "program.worker.peak_rss_bytes",
    "program.edge.peak_rss_bytes",
)  # fmt: skip


class Change(StrEnum):
    """What can be said of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "within noise"
    UNKNOWN = "too few repetitions to tell"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both results."""

    measure: str
    unit: str
    before: float
    after: float
    #: Of after minus before.
    low: float
    high: float
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures that both results have, and what the two results do not have in common."""

    lines: tuple[Line, ...]
    differences: tuple[str, ...]
    #: Why a change may be the machine's and not the program's.
    doubts: tuple[str, ...] = ()


class NotComparableError(ValueError):
    """The results asked different questions, or on different machines; the message says which."""


def compare(a: Document, b: Document, *, anyway: bool = False) -> Comparison:
    """What is different in `b`; raises NotComparableError unless told to go on anyway."""
    differences = what_differs(a, b)
    if differences and not anyway:
        listed = "".join(f"\n  {difference}" for difference in differences)
        raise NotComparableError(
            f"these results cannot be compared:{listed}\n  (--anyway compares them and says so)"
        )
    draw = np.random.default_rng(_SEED)
    lines = []
    for name, get in _figures(a, b):
        ours, theirs = [get(r) for r in a.repetitions], [get(r) for r in b.repetitions]
        befores = [sampled for sampled in ours if sampled is not None]
        afters = [sampled for sampled in theirs if sampled is not None]
        if befores and afters:
            lines.append(_compare(name, befores, afters, draw))
    return Comparison(tuple(lines), differences, _doubts(a, b, lines))


def what_differs(a: Document, b: Document) -> tuple[str, ...]:
    """Why the two should not be compared, in words."""
    found = []
    if a.scenario_digest != b.scenario_digest:
        found.append(f"scenarios: {_scenario_differences(a, b)}")
    if a.machine.fingerprint != b.machine.fingerprint:
        named = [f"{m.cpu}, {m.cores} cores, {m.kernel}, Python {m.python}" for m in
                 (a.machine, b.machine)]  # fmt: skip
        found.append(f"machines: {named[0]} | {named[1]}")
    if a.repetitions[0].engine.bundle != b.repetitions[0].engine.bundle:
        bundles = [d.repetitions[0].engine.bundle for d in (a, b)]
        found.append(f"bundles: {bundles[0]} | {bundles[1]}")
    made = [[(link.leg, link.implementation) for link in d.links] for d in (a, b)]
    if made[0] != made[1]:
        found.append(f"links are made differently: {made[0]} | {made[1]}")
    return tuple(found)


def _doubts(a: Document, b: Document, lines: Sequence[Line]) -> tuple[str, ...]:
    """Other programs, and baselines that changed although nothing of theirs did: both are controls."""
    found = []
    others = [d.together.others_cpu_percent for d in (a, b)]
    if any(one is not None and one > NOISE_PERCENT for one in others):
        took = " | ".join("unknown" if one is None else f"{one / 100:.1f} cores" for one in others)
        found.append(f"other programs ran meanwhile: {took}")
    if a.scenario.arrivals != b.scenario.arrivals:
        rates = [getattr(d.scenario.arrivals, "rate_per_s", 0.0) for d in (a, b)]
        found.append(f"the share of the engine came to {rates[0]:g} | {rates[1]:g} images/s")
    for line in lines:
        if line.measure.startswith("baseline.") and line.before:
            share = line.after / line.before - 1
            if abs(share) > _BASELINE_MOVES:
                found.append(f"{line.measure} moved by {share * 100:+.0f} %, and is no part of us")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A figure of one repetition, and how to draw it anew."""

    value: float
    #: So many values, as other runs of this repetition would have had them.
    drawn: Callable[[np.random.Generator, int], Values]


def _figures(a: Document, b: Document) -> list[tuple[str, Callable[[Repetition], _Sampled | None]]]:
    """The figures to compare: spans, stages, baselines, rates and uses, those that `a` has."""
    found: list[tuple[str, Callable[[Repetition], _Sampled | None]]] = []
    first = a.repetitions[0]

    def add(name: str, point: str, path: str, part: str) -> None:
        found.append((f"{name}.{point}", lambda r: _of_latency(r, path, part, point)))

    for point in _POINTS:
        for total in first.hemowire.totals:
            add(f"total.{total.name}", point, "hemowire", total.name)
    for stage in first.hemowire.stages:
        add(f"stage.{stage.name}", "p50_ms", "hemowire", stage.name)
    for path in first.baselines:
        for total in path.totals:
            add(f"baseline.{path.path}.{total.name}", "p50_ms", path.path, total.name)
    for name in _SCALARS:
        found.append((name, lambda r, name=name: _of_scalar(r, name)))  # type: ignore[misc]
    return found


def _of_latency(repetition: Repetition, path: str, part: str, point: str) -> _Sampled | None:
    paths: tuple[PathResult, ...] = (repetition.hemowire, *repetition.baselines)
    own = next((one for one in paths if one.path == path), None)
    latencies = () if own is None else (*own.totals, *own.stages)
    latency = next((one for one in latencies if one.name == part and one.count), None)
    if latency is None:
        return None
    values = values_of(latency)
    upto = np.array([seen for seen, _ in values])
    at_ms = np.array([value for _, value in values])
    rank = max(1, round(_POINTS[point] / 100 * latency.count))

    def drawn(draw: np.random.Generator, count: int) -> Values:
        quantiles = draw.beta(rank, latency.count - rank + 1, count)
        places = np.searchsorted(upto, np.rint(quantiles * latency.count))
        return np.asarray(at_ms[np.minimum(places, len(at_ms) - 1)], np.float64)

    return _Sampled(float(getattr(latency, point)), drawn)


def _of_scalar(repetition: Repetition, name: str) -> _Sampled | None:
    value = measure(name, repetition)
    if value is None:
        return None
    return _Sampled(value, lambda _, count: np.full(count, value))


def _compare(
    name: str, befores: Sequence[_Sampled], afters: Sequence[_Sampled], draw: np.random.Generator
) -> Line:
    before = statistics.median(one.value for one in befores)
    after = statistics.median(one.value for one in afters)
    differences = np.sort(_medians(draw, afters) - _medians(draw, befores))
    tail = round((1 - _CONFIDENCE) / 2 * _DRAWS)
    widen = _widening(len(befores), len(afters))
    low = (after - before) + min(0.0, float(differences[tail]) - (after - before)) * widen
    high = (after - before) + max(0.0, float(differences[-tail - 1]) - (after - before)) * widen
    if min(len(befores), len(afters)) < LEAST_REPETITIONS:
        change = Change.UNKNOWN
    elif low <= 0 <= high or abs(after - before) < SMALLEST * abs(before):
        change = Change.SAME
    else:
        change = Change.BETTER if (after > before) == name.endswith("_per_s") else Change.WORSE
    return Line(name, unit_of(name), before, after, low, high, change)


def _medians(draw: np.random.Generator, sampled: Sequence[_Sampled]) -> Values:
    """Medians over repetitions drawn with replacement, each with values of its own."""
    count = len(sampled)
    values = np.stack([one.drawn(draw, _DRAWS * count).reshape(_DRAWS, count) for one in sampled])
    chosen = draw.integers(0, count, (_DRAWS, count))
    rows, columns = np.indices((_DRAWS, count))
    return np.asarray(np.median(values[chosen, rows, columns], axis=1), np.float64)


def _widening(befores: int, afters: int) -> float:
    """A resample of n spreads by sqrt((n - 1) / n) too little, and t has wider tails than it."""
    fewer = min(befores, afters)
    if fewer < 2:
        return 1.0
    freedom = befores + afters - 2
    t = next((factor for most, factor in _WIDEN.items() if freedom <= most), 1.0)
    return float(t * (fewer / (fewer - 1)) ** 0.5)


def _scenario_differences(a: Document, b: Document) -> str:
    ours, theirs = (d.scenario.model_dump(mode="json") for d in (a, b))
    said = [
        f"{key}: {ours[key]} | {theirs[key]}"
        for key in ours
        if ours[key] != theirs[key] and key not in ("repetitions", "targets", "title", "question")
    ]
    return "; ".join(said) or "made by different versions"
