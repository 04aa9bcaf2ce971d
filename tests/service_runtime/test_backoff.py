"""A broker that comes back is found soon, one that stays away is not hammered."""

from __future__ import annotations

from service_runtime.backoff import Backoff
from service_runtime.mqtt_types import SessionOptions

OPTIONS = SessionOptions("device")


def after_refusals(until_s: float) -> tuple[Backoff, float, list[float]]:
    """Refused at once again and again, with the longest pauses: the pauses until then."""
    backoff, now, pauses = Backoff(OPTIONS, 0.0), 0.0, []
    while now < until_s:
        backoff.ended(now, 0.0)
        pauses.append(backoff.pause_s(now, 1.0))
        now += pauses[-1]
    return backoff, now, pauses


def test_in_the_first_minute_no_pause_is_longer_than_a_second() -> None:
    _, _, pauses = after_refusals(60.0)
    assert max(pauses) <= 0.6
    assert len(pauses) < 120  # two a second at most


def test_after_a_long_outage_pauses_reach_their_limit_and_never_pass_it() -> None:
    _, _, pauses = after_refusals(3600.0)
    assert max(pauses) == pauses[-1] == OPTIONS.backoff_s[1]


def test_a_good_connection_begins_anew_and_a_short_one_does_not() -> None:
    backoff, now, _ = after_refusals(600.0)
    backoff.ended(now, 1.0)
    assert backoff.pause_s(now, 0.0) == OPTIONS.backoff_s[1] / 2
    backoff.ended(now, 6.0)
    assert backoff.failures == 0
    assert backoff.pause_s(now, 1.0) == OPTIONS.backoff_s[0]
