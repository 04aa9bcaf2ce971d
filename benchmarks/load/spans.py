"""Joined traces become distributions: stages, spans of two stages, slices of time; pure, it measures nothing itself.

An image counts in the distributions where its capture was scheduled in the measured phase. Spans
"less inference" are the captured-to-published time without the time the batch was in the engine,
"less disk" also without the outbox's commit (two fsyncs and more), which the device answers for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.load.histogram import Histogram, histogram_of
from benchmarks.load.measure_names import LESS_INFERENCE, LESS_INFERENCE_AND_DISK, SPAN_NAMES, SPANS
from benchmarks.load.result import Latency, Moment
from benchmarks.load.scenario import PhaseSettings
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.trace import STAGES, Stage

#: Slices of the picture of latency over time.
_MOST_MOMENTS = 120


@dataclass(frozen=True, slots=True)
class Load:
    """When a load began, and what of it counts."""

    start_ns: int
    phases: PhaseSettings

    def offset_s(self, trace: JoinedTrace, stage: Stage) -> float | None:
        """When this stage was reached, seconds from the first moment of load."""
        at = next((moment.at for moment in trace.moments if moment.stage is stage), None)
        return None if at is None else (at.ns - self.start_ns) / 1e9

    def is_of(self, trace: JoinedTrace) -> bool:
        """Whether its capture was scheduled in this load and not in one before."""
        at_s = self.offset_s(trace, Stage.SCHEDULED)
        return at_s is not None and at_s >= 0

    def counts(self, at_s: float | None) -> bool:
        """Whether this is in the measured phase."""
        return at_s is not None and (
            self.phases.warm_up_s - 1e-9 <= at_s < self.phases.measured_until_s
        )

    def phase(self, at_s: float) -> str:
        """Its name."""
        if at_s < self.phases.warm_up_s - 1e-9:
            return "warm_up"
        return "measured" if at_s < self.phases.measured_until_s else "cool_down"


def measured(traces: Iterable[JoinedTrace], load: Load) -> list[JoinedTrace]:
    """Those whose capture was scheduled in the measured phase."""
    return [trace for trace in traces if load.counts(load.offset_s(trace, Stage.SCHEDULED))]


def stage_latencies(traces: Sequence[JoinedTrace]) -> tuple[Latency, ...]:
    """Each stage that any trace has."""
    histograms: dict[Stage, Histogram] = {}
    for trace in traces:
        for took in trace.stages:
            found = histograms.setdefault(took.stage, Histogram())
            found.add(took.duration_ms, took.error_ms)
    return tuple(histograms[stage].latency(stage.value) for stage in STAGES if stage in histograms)


def span_latencies(traces: Sequence[JoinedTrace]) -> tuple[Latency, ...]:
    """Each span that any trace has, the headline first."""
    histograms: dict[str, Histogram] = {}
    for trace in traces:
        for name, (start, end) in SPANS.items():
            took = trace.between(start, end)
            if took is not None:
                histograms.setdefault(name, Histogram()).add(took.duration_ms, took.error_ms)
        for name, less in (
            (LESS_INFERENCE, (Stage.INFERRED,)),
            (LESS_INFERENCE_AND_DISK, (Stage.INFERRED, Stage.QUEUED)),
        ):
            whole = trace.between(Stage.CAPTURED, Stage.PUBLISHED)
            parts = [trace.stage(stage) for stage in less]
            if whole is not None and all(part is not None for part in parts):
                rest_ms = whole.duration_ms - sum(part.duration_ms for part in parts if part)
                histograms.setdefault(name, Histogram()).add(rest_ms, whole.error_ms)
    return tuple(histograms[name].latency(name) for name in SPAN_NAMES if name in histograms)


def over_time(
    scheduled_s: Sequence[float], finished: Sequence[tuple[float, float]], load: Load
) -> tuple[Moment, ...]:
    """Slices of a second or more: captures offered, and (scheduled at, latency in ms) of those done."""
    last_s = max((*scheduled_s, load.phases.load_s))
    width_s = max(1.0, float(-(-int(last_s + 1) // _MOST_MOMENTS)))
    moments = []
    for number in range(int(last_s / width_s) + 1):
        start_s, end_s = number * width_s, (number + 1) * width_s
        offered = sum(start_s <= at_s < end_s for at_s in scheduled_s)
        took = [ms for at_s, ms in finished if start_s <= at_s < end_s]
        if not offered and not took:
            continue
        histogram = histogram_of(took)
        moments.append(
            Moment.model_validate(
                {
                    "at_s": start_s,
                    "offered": offered,
                    "completed": len(took),
                    "p50_ms": histogram.percentile_ms(50) if took else None,
                    "max_ms": max(took) if took else None,
                    "phase": load.phase(start_s),
                }
            )
        )
    return tuple(moments)


def busy_s(intervals: Iterable[tuple[float, float]]) -> float:
    """How long at least one of these intervals lasted: the time in which anything was on its way."""
    total = 0.0
    until = float("-inf")
    for start, end in sorted(intervals):
        if end > until:
            total += end - max(start, until)
            until = end
    return total
