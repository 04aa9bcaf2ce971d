"""A histogram of milliseconds in buckets of equal ratio, so that its size is bounded however long a demo runs.

Percentiles are exact to half a percent (the principle of HDR histograms), by nearest rank; samples
can be taken back, because a stage's time changes when a late stamp of an earlier stage arrives.
"""

from __future__ import annotations

import math
from collections import Counter

RATIO = 1.005
#: Everything at or below this many milliseconds, negative clock noise included, is one bucket.
SMALLEST_MS = 0.001


class Histogram:
    """Counts per bucket."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, milliseconds: float) -> None:
        """Counts one sample."""
        self._buckets[_bucket(milliseconds)] += 1
        self.count += 1

    def take_back(self, milliseconds: float) -> None:
        """Uncounts a sample that was added."""
        self._buckets[_bucket(milliseconds)] -= 1
        self.count -= 1

    def percentiles(self, *shares: float) -> list[float]:
        """The sample below or at which each share of the samples lies; 0 where there is none."""
        found = []
        ordered = sorted(self._buckets.items())
        for share in shares:
            rank, seen, value = max(1, math.ceil(self.count * share)), 0, 0.0
            for bucket, number in ordered:
                seen += number
                if seen >= rank:
                    value = _middle(bucket)
                    break
            found.append(value)
        return found


def _bucket(milliseconds: float) -> int:
    if milliseconds <= SMALLEST_MS:
        return 0
    return 1 + int(math.log(milliseconds / SMALLEST_MS) / math.log(RATIO))


def _middle(bucket: int) -> float:
    return 0.0 if bucket == 0 else SMALLEST_MS * RATIO ** (bucket - 0.5)
