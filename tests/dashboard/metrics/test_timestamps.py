"""Time stamps of which no two are alike."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.metrics.timestamps import LANES, TimeStamps

START_NS = 1_790_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


@given(st.integers(min_value=0, max_value=2**32), st.sampled_from([1, 1000]))
def test_no_two_stamps_are_alike_whatever_the_clock_does_and_whenever_the_program_dies(
    seed: int, step_us: int
) -> None:
    chance = random.Random(seed)
    now_ns, on_disk, given_out = START_NS, dict[int, int](), list[int]()
    stamps = TimeStamps(step_us=step_us)
    for _ in range(300):
        what = chance.random()
        if what < 0.05:  # kill -9 and a new start, at once
            stamps = TimeStamps(on_disk, step_us=step_us)
        elif what < 0.10:
            now_ns += chance.choice([-1, 1]) * chance.randrange(2 * HOUR_NS)
        elif what < 0.6:
            now_ns += chance.randrange(3_000_000)  # else the clock stands still
        given_out.append(stamps.take(now_ns))
        if stamps.must_save:
            on_disk = dict(stamps.ceilings)
            stamps.must_save = False
    assert len(set(given_out)) == len(given_out)
    if step_us == 1000:  # a server that keeps milliseconds, per lane
        in_lanes = {(at // 1_000_000, at % LANES) for at in given_out}
        assert len(in_lanes) == len(given_out)


def test_a_stamp_is_the_time_to_the_microsecond() -> None:
    stamp = TimeStamps().take(START_NS + 1_234_999)
    assert stamp == START_NS + 1_234_000


def test_a_burst_within_one_microsecond_is_spread_over_the_next_ones() -> None:
    stamps = TimeStamps()
    assert [stamps.take(START_NS) - START_NS for _ in range(4)] == [0, 1000, 2000, 3000]


def test_a_burst_of_seconds_keeps_its_lane_so_that_milliseconds_differ() -> None:
    stamps = TimeStamps(step_us=1000)
    given_out = [stamps.take(START_NS + n * 100_000) for n in range(5000)]
    assert {at % LANES for at in given_out} == {0}
    assert len({at // 1_000_000 for at in given_out}) == 5000


@pytest.mark.parametrize("back_ns", [2_000_000_000, 24 * HOUR_NS])
def test_a_clock_that_goes_back_is_followed_in_another_lane(back_ns: int) -> None:
    stamps = TimeStamps()
    before = stamps.take(START_NS)
    after = stamps.take(START_NS - back_ns)
    assert (before % LANES, after % LANES) == (0, 1)
    assert after // LANES * LANES == START_NS - back_ns


def test_a_restart_within_the_reservation_takes_another_lane_and_a_later_one_the_first() -> None:
    stamps = TimeStamps()
    stamps.take(START_NS)
    assert TimeStamps(stamps.ceilings).take(START_NS + 1_000_000_000) % LANES == 1
    assert TimeStamps(stamps.ceilings).take(START_NS + 11_000_000_000) % LANES == 0


def test_where_every_lane_is_taken_the_one_that_ends_first_goes_on() -> None:
    ceilings = {lane: (START_NS + HOUR_NS + lane) // 1000 for lane in range(LANES)}
    ends_first = (START_NS + HOUR_NS) // 1000
    stamp = TimeStamps(ceilings).take(START_NS)
    assert stamp == (ends_first + 1) * 1000
