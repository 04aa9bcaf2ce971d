"""How long to wait before the next attempt, and after how many to stop; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A server that asks for more patience than this is asked again all the same.
_MOST_PATIENCE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Doubles from `first_wait_s` up to `longest_wait_s`."""

    attempts: int
    first_wait_s: float
    longest_wait_s: float

    def wait_s(
        self, attempt: int, *, retry_after_s: float = 0.0, share: float = 1.0
    ) -> float | None:
        """After the attempt of this number, from 1; None: that was the last. `share` in 0..1 is
        drawn by the caller: many senders that failed together do not come back together."""
        if attempt >= self.attempts:
            return None
        doubled = self.first_wait_s * 2.0 ** min(attempt - 1, 40)
        wait_s = min(self.longest_wait_s, doubled) * (0.5 + 0.5 * share)
        return max(wait_s, min(retry_after_s, _MOST_PATIENCE_S))
