"""How long a session pauses before it connects again; pure, it opens nothing and reads no clock.

A broker that is only started again must be found within a second, so pauses stay short while an
outage is young. Later they double up to the limit: a broker that stays away is not hammered by a
fleet, and neither is one that accepts a connection and ends it at once.
"""

from __future__ import annotations

from service_runtime.mqtt_types import SessionOptions

#: A connection that lived this long was a good one: with its end an outage begins.
STABLE_S = 5.0
_MOST_DOUBLINGS = 30


class Backoff:
    """Of one session, from its start."""

    def __init__(self, options: SessionOptions, now: float) -> None:
        self._options = options
        self._away_since = now
        #: Attempts in a row that led to no good connection.
        self.failures = 0

    def ended(self, now: float, lived_s: float) -> None:
        """A connection lived so long; 0 where none was made."""
        if lived_s > STABLE_S:
            self.failures = 0
            self._away_since = now
        else:
            self.failures += 1

    def pause_s(self, now: float, jitter: float) -> float:
        """Between half of the step and the step; `jitter` is from 0 to 1."""
        first, most = self._options.backoff_s
        if now - self._away_since < self._options.eager_for_s:
            most = min(most, self._options.eager_pause_s)
        step: float = min(most, first * 2 ** min(self.failures, _MOST_DOUBLINGS))
        return step * (0.5 + jitter / 2)
