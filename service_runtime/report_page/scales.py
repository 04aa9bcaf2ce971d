"""From figures to pixels: linear, logarithmic and percentile axes with the ticks a person would choose; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: Above this ratio of the highest to the lowest figure a linear axis hides the lower ones.
_LOG_FROM: Final = 25.0
_NINES: Final = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` at `start_px` to `high` at `end_px`."""

    low: float
    high: float
    start_px: float
    end_px: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Its pixel; what lies outside is drawn at the edge."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start_px + share * (self.end_px - self.start_px)

    def ticks(self, about: int = 5) -> list[float]:
        """Round figures within the axis."""
        return _decades(self.low, self.high, about) if self.is_log else _steps(self, about)


def fit(values: Iterable[float], start_px: float, end_px: float, *, may_log: bool = True) -> Scale:
    """A scale from zero over all these, or a logarithmic one where they lie far apart."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    high = max(positive, default=1.0)
    low = min(positive, default=1.0)
    if may_log and high / low > _LOG_FROM:
        return Scale(low * 0.8, high * 1.15, start_px, end_px, is_log=True)
    return Scale(0.0, high * 1.04, start_px, end_px)


def percentile_at(percentile: float) -> float:
    """Where a percentile lies: each nine takes the same room, as stalls matter more than calm."""
    return -math.log10(max(1 - percentile / 100, 1e-9))


def resolved_percentile(count: int) -> float:
    """The percentile that the slowest of so many samples stands for."""
    return 100 * (1 - 0.5 / max(count, 1))


def percentile_ticks(up_to: float) -> list[float]:
    """50, 90, 99, 99.9 and on."""
    return [nine for nine in _NINES if percentile_at(nine) <= percentile_at(up_to) + 1e-6]


def _steps(scale: Scale, about: int) -> list[float]:
    span = scale.high - scale.low
    rough = span / max(about, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next((m * magnitude for m in (1, 2, 2.5, 5) if m * magnitude >= rough), 10 * magnitude)
    first = math.ceil(scale.low / step - 1e-9)
    last = math.floor(scale.high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _decades(low: float, high: float, about: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for marks in ((1, 2, 5), (1, 3), (1,)):
        found = [
            mark * 10.0**power
            for power in range(first, last + 1)
            for mark in marks
            if low <= mark * 10.0**power <= high
        ]
        if len(found) <= about + 2:
            break
    return found
