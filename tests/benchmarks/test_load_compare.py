"""Comparing two results: noise is called noise, a change is found, and unlike is not compared with unlike."""

from __future__ import annotations

import pytest

from benchmarks.load.compare import Change, NotComparableError, compare
from tests.benchmarks.example_result import make_example

_HEADLINE = "total.scheduled_to_published.p50_ms"


def test_two_runs_of_the_same_are_within_noise() -> None:
    lines = compare(make_example(1, repetitions=5), make_example(2, repetitions=5)).lines
    changed = [line.measure for line in lines if line.change is not Change.SAME]
    assert len(lines) > 30
    assert len(changed) <= 1, changed


def test_a_slower_run_is_found_and_called_worse() -> None:
    comparison = compare(make_example(1, repetitions=5), make_example(2, repetitions=5, slower=1.2))
    lines = {line.measure: line for line in comparison.lines}
    assert lines[_HEADLINE].change is Change.WORSE
    assert 0 < lines[_HEADLINE].low < lines[_HEADLINE].after - lines[_HEADLINE].before
    back = compare(make_example(2, repetitions=5, slower=1.2), make_example(1, repetitions=5))
    assert {line.measure: line for line in back.lines}[_HEADLINE].change is Change.BETTER


def test_too_few_repetitions_tell_nothing() -> None:
    comparison = compare(make_example(1, repetitions=2), make_example(2, repetitions=2, slower=2.0))
    assert {line.change for line in comparison.lines} == {Change.UNKNOWN}


def test_another_machine_or_scenario_is_refused_unless_told_and_then_said() -> None:
    a = make_example(1)
    machine = a.machine.model_copy(update={"fingerprint": "f" * 12, "cpu": "another CPU"})
    images = a.scenario.images.model_copy(update={"size_bytes": 22_000})
    b = a.model_copy(
        update={
            "machine": machine,
            "scenario": a.scenario.model_copy(update={"images": images}),
            "scenario_digest": "e" * 12,
        }
    )
    with pytest.raises(NotComparableError, match=r"22000(.|\n)*another CPU"):
        compare(a, b)
    comparison = compare(a, b, anyway=True)
    assert len(comparison.differences) == 2
    assert comparison.lines


def test_a_baseline_that_moved_and_other_programs_cast_doubt_on_every_change() -> None:
    a = make_example(1, repetitions=5)
    assert compare(a, make_example(2, repetitions=5)).doubts == ()
    b = make_example(2, repetitions=5, slower=1.5)
    busy = b.together.model_copy(update={"others_cpu_percent": 130.0})
    doubts = compare(a, b.model_copy(update={"together": busy})).doubts
    assert "unknown | 1.3 cores" in doubts[0]
    assert any("baseline.single" in doubt for doubt in doubts)
