"""Arrivals: their rates, their independence of what became of the captures before, and their bounds."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.arrival_settings import (
    BurstArrivals,
    ClosedArrivals,
    FixedArrivals,
    PoissonArrivals,
)
from benchmarks.load.arrivals import plan_arrivals, planned_captures
from benchmarks.load.plans import Plans
from service_runtime.boot import monotonic_ns


def test_a_fixed_rate_is_dealt_to_the_devices_in_turn() -> None:
    plan = plan_arrivals(FixedArrivals(kind="fixed", rate_per_s=4), 2, 1.0, seed=1)
    assert plan == ((0.0, 0.5), (0.25, 0.75))


@given(st.integers(0, 10_000))
def test_poisson_gaps_are_exponential_and_the_same_for_a_seed(seed: int) -> None:
    arrivals = PoissonArrivals(kind="poisson", rate_per_s=50)
    plan = plan_arrivals(arrivals, 3, 40.0, seed)
    assert plan == plan_arrivals(arrivals, 3, 40.0, seed)
    times = sorted(at_s for own in plan for at_s in own)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.15)
    # An exponential's spread is its mean; a fixed rate's is 0.
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.25)


def test_a_burst_is_one_moment_for_every_device() -> None:
    arrivals = BurstArrivals(kind="bursts", size=2, every_s=5)
    plan = plan_arrivals(arrivals, 3, 10.0, seed=1)
    assert plan == ((0.0, 0.0, 5.0, 5.0),) * 3
    assert planned_captures(plan, 0.0, 5.0) == 6


def test_a_closed_loop_asks_for_the_next_image_when_one_is_recorded(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans", ["scope-1", "scope-2"])
    closed = ClosedArrivals(kind="closed", in_flight=2, images=3)
    plans.start_closed(monotonic_ns(), 60.0, closed)
    assert plans.offered == 4
    plans.recorded("scope-1")
    plans.recorded("scope-1")
    assert len(plans.asked("scope-1")) == 3
    assert not plans.is_exhausted
    plans.recorded("scope-2")
    assert plans.is_exhausted
    lines = plans.file("scope-1").read_text().splitlines()
    assert [int(line) for line in lines] == list(plans.asked("scope-1"))


def test_a_closed_loop_asks_for_nothing_after_its_time(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans", ["scope-1"])
    plans.start_closed(monotonic_ns() - 10**9, 0.5, ClosedArrivals(kind="closed"))
    plans.recorded("scope-1")
    assert plans.offered == 1
