"""The window: a round trip more until the rate stops growing, wider where TCP holds bytes up, else short."""

from __future__ import annotations

import pytest

from wire_protocol.machine_settings import SenderSettings
from wire_protocol.pacing import FULL_ROUNDS, LONGEST_HOLD_UP_S, Pace

RATE = 250_000.0
ROUND_TRIP_S = 0.1
SETTINGS = SenderSettings()
PLAIN_S = ROUND_TRIP_S + SETTINGS.window_s


def deliver(pace: Pace, seconds: float, now: float, *, took_s: float | None = None) -> float:
    """A chunk is acknowledged during whose flight the link gave what it takes in `seconds`."""
    size = int(RATE * seconds)
    pace.delivered += size
    pace.sample_rtt(ROUND_TRIP_S, now)
    pace.sample_rate(size, took_s or seconds, False, now)
    return now + seconds


def a_full_link() -> tuple[Pace, float]:
    """A pace that has learned its link."""
    pace, now = Pace(SETTINGS), 0.0
    for _ in range(FULL_ROUNDS + 1):
        now = deliver(pace, ROUND_TRIP_S, now)
    return pace, now


def test_a_clean_link_is_filled_with_its_round_trip_and_the_queue() -> None:
    pace, _ = a_full_link()
    assert pace.window_bytes() == pytest.approx(RATE * PLAIN_S, rel=0.01)
    assert pace.chunk_bytes() == pytest.approx(RATE * SETTINGS.chunk_s, rel=0.01)


def test_the_window_has_room_for_two_round_trips_until_the_rate_stops_growing() -> None:
    pace, now = Pace(SETTINGS), 0.0
    assert pace.window_bytes() == SETTINGS.window_first_bytes
    for _ in range(FULL_ROUNDS):
        now = deliver(pace, ROUND_TRIP_S, now)
        assert pace.window_bytes() == pytest.approx(RATE * (ROUND_TRIP_S + PLAIN_S), rel=0.01)
    deliver(pace, ROUND_TRIP_S, now)
    assert pace.window_bytes() == pytest.approx(RATE * PLAIN_S, rel=0.01)


def test_a_first_rate_of_a_small_window_does_not_make_it_smaller() -> None:
    pace = Pace(SETTINGS)
    pace.delivered += 1000
    pace.sample_rate(1000, 1.0, False, 0.0)
    assert pace.window_bytes() == SETTINGS.window_first_bytes


def test_hold_ups_widen_the_window_and_are_forgotten_when_they_end() -> None:
    pace, now = a_full_link()
    for _ in range(20):
        now = deliver(pace, ROUND_TRIP_S, now, took_s=ROUND_TRIP_S + 0.1)
    assert pace.window_bytes() == pytest.approx(RATE * (PLAIN_S + 0.3), rel=0.1)
    for _ in range(40):
        now = deliver(pace, ROUND_TRIP_S, now)
    assert pace.window_bytes() == pytest.approx(RATE * PLAIN_S, rel=0.05)


def test_a_queue_of_our_own_bytes_is_no_hold_up() -> None:
    pace, now = a_full_link()
    for _ in range(20):  # a round trip of 300 ms, for 200 ms of bytes were ahead
        now = deliver(pace, ROUND_TRIP_S + SETTINGS.window_s, now)
    assert pace.window_bytes() == pytest.approx(RATE * PLAIN_S, rel=0.01)


def test_a_burst_into_an_empty_link_is_no_hold_up() -> None:
    pace, now = a_full_link()
    pace.was_idle()
    burst = 0
    for _ in range(8):  # sent at once: the link's round trip, then one chunk after the other
        burst += 5000
        pace.delivered += 5000
        pace.sample_rate(burst, ROUND_TRIP_S + burst / RATE, False, now)
    assert pace.window_bytes() == pytest.approx(RATE * PLAIN_S, rel=0.01)


def test_an_outage_does_not_make_the_window_endless() -> None:
    pace, now = a_full_link()
    deliver(pace, ROUND_TRIP_S, now, took_s=1000.0)
    assert pace.window_bytes() <= RATE * (PLAIN_S + LONGEST_HOLD_UP_S) * 1.01


def test_the_way_to_the_broker_is_what_the_first_waits_go_by() -> None:
    pace = Pace(SETTINGS)
    pace.expect_rtt(0.6)
    assert pace.srtt == 0.6
    assert pace.min_rtt == 0.0  # the way to the worker may be longer, and is not measured yet
    pace.in_flight = 32 * 1024
    assert pace.drain_s() == pytest.approx(0.6 + SETTINGS.window_s)
    pace.sample_rtt(0.8, 0.0)
    assert pace.srtt == 0.8
    pace.expect_rtt(0.1)
    assert pace.srtt == 0.8


def test_a_preview_rides_in_the_offer_of_a_slow_link_too() -> None:
    pace, now = Pace(SETTINGS), 0.0
    assert pace.inline_bytes() == SETTINGS.inline_bytes
    pace.packet_limit(8 * 1024)
    assert pace.inline_bytes() <= 8 * 1024
    pace.packet_limit(2_000_000)
    pace.delivered += 10_000_000
    pace.sample_rate(10_000_000, 0.1, False, now)
    assert pace.inline_bytes() == SETTINGS.chunk_max_bytes


def test_before_a_rate_a_preview_fits_the_first_flight_of_a_connection() -> None:
    pace = Pace(SETTINGS)
    pace.expect_rtt(0.6)
    assert pace.preview_bytes(4 * 2**20) == SETTINGS.preview_first_bytes
    pace.delivered += 32_000
    pace.sample_rate(32_000, 1.0, False, 0.0)
    assert pace.preview_bytes(4 * 2**20) == SETTINGS.preview_bytes
