"""A result document with the proportions of a real one, from a seed; run it to write one into a file.

Longer than most: it fills every field of one document.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from benchmarks.load.histogram import Histogram, add_up
from benchmarks.load.result import (
    BrokerCounters,
    Counts,
    Document,
    Engine,
    Latency,
    Link,
    Machine,
    Moment,
    PathResult,
    PhysicalLimit,
    ProcessUse,
    Repetition,
    Sweep,
    SweepPoint,
    VerdictLine,
    write_result,
)
from benchmarks.load.scenario import Scenario
from wire_protocol.trace import PREDECESSORS, Stage

#: Typical milliseconds of each stage for a 0.85 MB field.
STAGE_MS = {
    Stage.CAPTURED: 9.0, Stage.GATED: 14.0, Stage.ENCODED: 0.4, Stage.QUEUED: 6.0,
    Stage.OFFERED: 0.3, Stage.CLAIMED: 1.4, Stage.FIRST_SENT: 0.5, Stage.LAST_SENT: 4.0,
    Stage.FIRST_RECEIVED: 1.1, Stage.COMPLETED: 4.5, Stage.ARCHIVED: 6.0, Stage.DECODED: 9.0,
    Stage.BATCHED: 2.5, Stage.INFERRED: 48.0, Stage.EXPLAINED: 3.0, Stage.PUBLISHED: 0.6,
    Stage.RECORDED: 7.0, Stage.SHOWN: 2.0,
}  # fmt: skip
SCENARIO = {
    "name": "example",
    "title": "An example: one microscope, fields of 0.85 MB",
    "question": "Where do the milliseconds go between the objective and the phone?",
    "arrivals": {"kind": "poisson", "rate_per_s": 5.0},
    "images": {"size_bytes": 850_000},
    "baselines": ["single", "base64", "http", "segments"],
    "sweep": {"rates_per_s": [2.0, 4.0, 8.0, 12.0, 16.0, 24.0]},
    "targets": [
        {
            "text": "p50 from capture to publication at most 120 ms",
            "measure": "total.captured_to_published.p50_ms",
            "at_most": 120.0,
        },
        {
            "text": "at least 1.25x the throughput of single messages",
            "measure": "ratio.single.bytes_per_s",
            "at_least": 1.25,
        },
    ],
}


def make_example(seed: int = 1, *, repetitions: int = 3, slower: float = 1.0) -> Document:
    """A document whose every stage takes `slower` times as long as usual."""
    draw = random.Random(seed)
    scenario = Scenario.model_validate(SCENARIO)
    runs = tuple(_repetition(draw, number, slower) for number in range(1, repetitions + 1))
    p50 = tuple(_total(run.hemowire, "captured_to_published").p50_ms for run in runs)
    return Document(
        hemowire="0.1.0",
        started="2026-01-01T12:00:00.000Z",
        duration_s=187.4,
        command="hemowire bench example.toml --json example.json",
        machine=Machine(
            cpu="An example CPU at 2.6 GHz",
            cores=2,
            memory_bytes=16 * 1024**3,
            kernel="Linux 6.1.0",
            python="3.12.3",
            mosquitto="2.0.11",
            fingerprint="0123456789ab",
            load_before=0.21,
        ),
        scenario=scenario,
        scenario_digest="6d1f0c2b9a34",
        links=(
            Link(
                leg="device",
                profile="10mbit",
                implementation="namespaces",
                description="10 Mbit/s (tbf), 20 ms each way",
                rate_bit_per_s=1e7,
                one_way_delay_ms=20.0,
                loss_percent=0.0,
            ),
            Link(leg="worker", profile="loopback", implementation="none", description="loopback"),
        ),
        together=_together([run.hemowire for run in runs]),
        baselines_together=tuple(
            _together([run.baselines[place] for run in runs])
            for place in range(len(runs[0].baselines))
        ),
        repetitions=runs,
        sweep=Sweep(
            total="scheduled_to_published",
            points=tuple(_sweep_point(rate, slower) for rate in (2.0, 4.0, 8.0, 12.0, 16.0, 24.0)),
            knee_per_s=12.0,
            knee_text="held to 12 images/s; at 16 only 13.1 came through",
        ),
        limits=(
            PhysicalLimit(
                name="the link",
                applies_to="scheduled_to_stored",
                value=705.1,
                unit="ms",
                formula="856,400 bytes / 10 Mbit/s + 20 ms",
            ),
            PhysicalLimit(
                name="the engine alone",
                applies_to="images_per_s",
                value=13.9,
                unit="images/s",
                formula="measured by the worker at start, batch 8, f32",
            ),
        ),
        verdicts=(
            VerdictLine(
                text=scenario.targets[0].text,
                measure=scenario.targets[0].measure,
                measured=sorted(p50)[len(p50) // 2],
                per_repetition=p50,
                limit=120.0,
                direction="at_most",
                unit="ms",
                passed=sorted(p50)[len(p50) // 2] <= 120,
            ),
            VerdictLine(
                text=scenario.targets[1].text,
                measure=scenario.targets[1].measure,
                measured=1.17,
                per_repetition=(1.17, 1.2, 1.15),
                limit=1.25,
                direction="at_least",
                unit="x",
                passed=False,
            ),
        ),
    )


def _repetition(draw: random.Random, number: int, slower: float) -> Repetition:
    offered, measured_s = 65, 10.0
    stages = {stage: Histogram() for stage in STAGE_MS}
    totals = {
        name: Histogram()
        for name in (
            "scheduled_to_published", "captured_to_published", "captured_to_stored",
            "captured_to_recorded", "captured_to_shown",
        )
    }  # fmt: skip
    moments = []
    for at_s in range(13):
        published = []
        for _ in range(5):
            took = {s: ms * slower * draw.lognormvariate(0, 0.2) for s, ms in STAGE_MS.items()}
            at: dict[Stage, float] = {Stage.SCHEDULED: 0.0}
            for stage in STAGE_MS:
                at[stage] = at[next(b for b in PREDECESSORS[stage] if b in at)] + took[stage]
            for stage, milliseconds in took.items():
                stages[stage].add(milliseconds)
            captured = at[Stage.CAPTURED]
            totals["scheduled_to_published"].add(at[Stage.PUBLISHED])
            totals["captured_to_published"].add(at[Stage.PUBLISHED] - captured)
            totals["captured_to_stored"].add(at[Stage.ARCHIVED] - captured)
            totals["captured_to_recorded"].add(at[Stage.RECORDED] - captured)
            totals["captured_to_shown"].add(at[Stage.SHOWN] - captured)
            published.append(at[Stage.PUBLISHED])
        moments.append(
            Moment(
                at_s=float(at_s), offered=5, completed=5, p50_ms=sorted(published)[2],
                max_ms=max(published),
                phase="warm_up" if at_s < 2 else "measured" if at_s < 12 else "cool_down",
            )
        )  # fmt: skip
    hemowire = PathResult(
        path="hemowire",
        title="hemowire",
        totals=tuple(h.latency(name) for name, h in totals.items()),
        stages=tuple(h.latency(stage.value) for stage, h in stages.items()),
        over_time=tuple(moments),
        offered=50,
        completed=50,
        lost=0,
        images_per_s=50 / measured_s,
        bytes_per_s=50 * 850_000 / measured_s,
        link_bytes=56_400_000,
        processes=tuple(
            ProcessUse(
                name=name, program=program, cpu_s=cpu_s * draw.uniform(0.9, 1.1),
                cpu_percent=cpu_s * 100 / 13, peak_rss_bytes=rss_mb * 1_000_000,
                written_bytes=55_000_000 if program != "broker" else 4096,
            )
            for name, program, cpu_s, rss_mb in (
                ("broker", "broker", 0.3, 9), ("records", "records", 0.9, 84),
                ("worker-1", "worker", 9.1, 640), ("edge-1", "edge", 2.2, 131),
            )
        ),
        broker=BrokerCounters(
            messages_received=1234, messages_sent=1877, bytes_received=57_100_000,
            bytes_sent=57_900_000, publish_dropped=0,
        ),
    )  # fmt: skip
    baselines = tuple(
        _baseline(draw, name, title, p50_ms * slower, extra)
        for name, title, p50_ms, extra in (
            ("single", "one QoS 1 message per image", 17.0, 1.0),
            ("base64", "base64 in JSON chunks", 41.0, 1.36),
            ("http", "HTTP upload, then classification", 24.0, 1.01),
            ("segments", "segments, then a final message", 22.0, 1.0),
        )
    )
    return Repetition(
        number=number,
        seed=number,
        started="2026-01-01T12:00:10.000Z",
        load_s=13.0,
        engine=Engine(
            bundle="synthetic5-resnet34", engine="openvino", precision="f32", batch_size=8,
            images_per_s=13.9,
        ),
        counts=Counts(
            offered=offered, captured=offered, recorded=offered, measured_offered=50,
            measured_completed=50,
        ),
        hemowire=hemowire,
        baselines=baselines,
    )  # fmt: skip


def _baseline(
    draw: random.Random, name: str, title: str, p50_ms: float, extra_bytes: float
) -> PathResult:
    histogram = Histogram()
    for _ in range(50):
        histogram.add(p50_ms * draw.lognormvariate(0, 0.25))
    return PathResult(
        path=name, title=title, totals=(histogram.latency("captured_to_stored"),), offered=50,
        completed=50, lost=0, images_per_s=5.0, bytes_per_s=5.0 * 850_000,
        link_bytes=int(50 * 850_000 * extra_bytes),
        processes=(
            ProcessUse(
                name=f"{name}-sender", program="baseline", cpu_s=1.1, cpu_percent=8.0,
                peak_rss_bytes=61_000_000,
            ),
        ),
    )  # fmt: skip


def _sweep_point(rate: float, slower: float) -> SweepPoint:
    most = 13.1 / slower
    held = rate <= most
    wait_ms = 6.0 / (1 - rate / most) if held else 900.0 * rate / most
    p50_ms = 95.0 * slower + wait_ms
    return SweepPoint(
        offered_per_s=rate, achieved_per_s=min(rate, most), p50_ms=p50_ms, p95_ms=p50_ms * 1.4,
        p99_ms=p50_ms * 1.7, is_held=held,
    )  # fmt: skip


def _together(parts: list[PathResult]) -> PathResult:
    def added(which: str) -> tuple[Latency, ...]:
        lists: list[tuple[Latency, ...]] = [getattr(part, which) for part in parts]
        return tuple(add_up(list(same)) for same in zip(*lists, strict=True))

    return parts[0].model_copy(
        update={
            "totals": added("totals"),
            "stages": added("stages"),
            "offered": sum(part.offered for part in parts),
            "completed": sum(part.completed for part in parts),
        }
    )


def _total(path: PathResult, name: str) -> Latency:
    return next(total for total in path.totals if total.name == name)


if __name__ == "__main__":
    write_result(make_example(), Path(sys.argv[1]))
