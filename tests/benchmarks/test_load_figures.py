"""From traces to figures: what counts, what nothing could beat, where the knee is, what a target's line says."""

from __future__ import annotations

import pytest

from benchmarks.load.limits import physical_limits
from benchmarks.load.result import Engine, SweepPoint
from benchmarks.load.scenario import LinkSettings, PhaseSettings, TargetSettings
from benchmarks.load.spans import Load, busy_s, measured, span_latencies
from benchmarks.load.sweep import find_knee
from benchmarks.load.together import put_together
from benchmarks.load.verdict import judge, measure
from tests.benchmarks.example_result import make_example
from wire_protocol.clock_legs import Instant
from wire_protocol.joined_trace import JoinedTrace, Moment, stage_times, total_times
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.trace import Stage

_PHASES = PhaseSettings(warm_up_s=2, measured_s=10, cool_down_s=1)
_BOOT = "0" * 32


def _trace(image_id: str, **at_ms: float) -> JoinedTrace:
    moments = {
        Stage(name): Moment(Stage(name), Instant(_BOOT, round(at * 1e6)), "edge", "scope-1")
        for name, at in at_ms.items()
    }
    return JoinedTrace(
        image_id, "scope-1", "worker", "", 1000, tuple(moments.values()), (),
        stage_times(moments, ()), total_times(moments, ()), None, False, True,
    )  # fmt: skip


def test_an_image_counts_by_its_schedule_however_late_it_is() -> None:
    load = Load(0, _PHASES)
    traces = [
        _trace("warm", scheduled=1999, captured=2500, published=2600),
        _trace("first", scheduled=2000, captured=2001, published=2100),
        _trace("stalled", scheduled=11_999, captured=30_000, published=30_050),
        _trace("cool", scheduled=12_000, captured=12_001, published=12_100),
    ]
    counted = measured(traces, load)
    assert [trace.image_id for trace in counted] == ["first", "stalled"]
    latency = {one.name: one for one in span_latencies(counted)}
    assert latency["scheduled_to_published"].max_ms == pytest.approx(18_051, rel=0.001)
    assert latency["captured_to_published"].max_ms == pytest.approx(99, rel=0.001)


def test_time_without_inference_leaves_out_the_batchs_time_in_the_engine_only() -> None:
    trace = _trace(
        "one", scheduled=0, captured=0, queued=8, decoded=20, batched=25, inferred=75, published=80
    )
    latency = {one.name: one.p50_ms for one in span_latencies([trace])}
    assert latency["captured_to_published_less_inference"] == pytest.approx(30, rel=0.001)
    assert latency["captured_to_published_less_inference_and_disk"] == pytest.approx(22, rel=0.001)


def test_busy_time_counts_overlapping_transfers_once() -> None:
    assert busy_s([(0, 2), (1, 3), (5, 6), (5.5, 5.6)]) == pytest.approx(4)


def test_the_links_limit_is_the_issues_own_sum() -> None:
    scenario = make_example().scenario.model_copy(
        update={"link": LinkSettings(device="10mbit", worker="10mbit")}
    )
    (limit,) = physical_limits(scenario, 4 * 1024**2, Engine(bundle="b", engine="e"))
    segments = -(-4 * 1024**2 // 1448)
    whole_ms = (4 * 1024**2 + 52 * segments) * 8 / 10e6 * 1000
    chunk = SenderSettings().chunk_max_bytes
    chunk_ms = (chunk + 52 * -(-chunk // 1448)) * 8 / 10e6 * 1000
    assert limit.applies_to == "offered_to_stored"
    # An idle link lets its first packet through at once.
    assert limit.value == pytest.approx(whole_ms + chunk_ms + 40, abs=3)


def _point(rate: float, achieved: float) -> SweepPoint:
    return SweepPoint(
        offered_per_s=rate, achieved_per_s=achieved, p50_ms=1, p95_ms=2, p99_ms=3,
        is_held=achieved >= 0.95 * rate,
    )  # fmt: skip


def test_the_knee_is_the_last_rate_before_the_first_that_was_not_held() -> None:
    sweep = find_knee([_point(2, 2), _point(4, 3.9), _point(8, 5), _point(9, 9)])
    assert sweep.knee_per_s == 4
    assert "of 8 only 5" in sweep.knee_text
    assert find_knee([_point(2, 1)]).knee_per_s is None
    assert "beyond" in find_knee([_point(2, 2)]).knee_text


def test_a_target_is_judged_by_the_median_repetition_and_losses_by_the_worst() -> None:
    document = make_example(repetitions=3)
    lossy = document.repetitions[1].counts.model_copy(update={"lost": 1})
    repetitions = [
        document.repetitions[0],
        document.repetitions[1].model_copy(update={"counts": lossy}),
        document.repetitions[2],
    ]
    p50 = sorted(
        value
        for repetition in repetitions
        if (value := measure("total.captured_to_published.p50_ms", repetition)) is not None
    )
    name = "total.captured_to_published.p50_ms"
    lines = judge(
        [
            TargetSettings(text="fast", measure=name, at_most=p50[1]),
            TargetSettings(text="too fast", measure=name, at_most=p50[1] - 0.01),
            TargetSettings(text="nothing lost", measure="lost", at_most=0),
            TargetSettings(text="no such", measure="sweep.knee_per_s", at_least=1),
        ],
        repetitions,
        (),
        None,
    )
    assert [line.passed for line in lines] == [True, False, False, None]
    assert lines[3].note == "no repetition has this figure"


def test_a_document_with_a_missed_an_unmeasured_or_a_lost_one_does_not_pass() -> None:
    document = make_example()
    good = document.model_copy(update={"verdicts": document.verdicts[:1]})
    assert good.passed
    unmeasured = document.verdicts[0].model_copy(update={"passed": None})
    assert not good.model_copy(update={"verdicts": (unmeasured,)}).passed
    held = document.repetitions[0].counts.model_copy(update={"held": 1, "recorded": 64})
    first = document.repetitions[0].model_copy(update={"counts": held})
    assert not good.model_copy(update={"repetitions": (first,)}).passed


def test_repetitions_are_put_together_with_the_worst_latency_over_time() -> None:
    runs = [repetition.hemowire for repetition in make_example(repetitions=3).repetitions]
    whole = put_together(runs)
    assert whole.totals[0].count == sum(run.totals[0].count for run in runs)
    assert whole.totals[0].max_ms == max(run.totals[0].max_ms for run in runs)
    worst = max(runs, key=lambda run: run.totals[0].max_ms)
    assert whole.over_time == worst.over_time


def test_baselines_are_compared_with_the_handoff_alone_where_it_ran() -> None:
    repetition = make_example().repetitions[0]
    single = repetition.baselines[0]
    name = "ratio.single.bytes_per_s"
    whole = repetition.hemowire.model_copy(update={"bytes_per_s": single.bytes_per_s / 2})
    repetition = repetition.model_copy(update={"hemowire": whole})
    assert measure(name, repetition) == pytest.approx(0.5)
    alone = single.model_copy(update={"path": "handoff", "bytes_per_s": single.bytes_per_s * 3})
    repetition = repetition.model_copy(update={"baselines": (single, alone)})
    assert measure(name, repetition) == pytest.approx(3.0)
