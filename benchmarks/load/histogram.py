"""HDR histograms of milliseconds: exact to 3 digits, added up over repetitions, never averaged."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from benchmarks.load.result import CurvePoint, Latency

_SMALLEST_US = 1
_LARGEST_US = 24 * 3600 * 1_000_000
_DIGITS = 3
#: Denser towards 100, where the stalls are.
_CURVE = (
    *(float(p) for p in range(0, 90, 2)),
    *(90 + p / 2 for p in range(16)),
    *(98 + p / 10 for p in range(15)),
    *(99.5 + p / 20 for p in range(9)),
    99.95, 99.99, 99.999, 100.0,
)  # fmt: skip


class Histogram:
    """Counts of one distribution; values below a microsecond, clock noise included, count as one."""

    def __init__(self) -> None:
        self._hdr = HdrHistogram(_SMALLEST_US, _LARGEST_US, _DIGITS)
        self._error_ms = 0.0

    def add(self, milliseconds: float, error_ms: float = 0.0) -> None:
        """Counts one sample and keeps the largest error."""
        microseconds = round(milliseconds * 1000)
        self._hdr.record_value(min(max(microseconds, _SMALLEST_US), _LARGEST_US))
        self._error_ms = max(self._error_ms, error_ms)

    @property
    def count(self) -> int:
        """Samples."""
        return int(self._hdr.get_total_count())

    def values(self) -> list[tuple[int, float]]:
        """(samples up to and with this value, milliseconds), in rising order.

        The library walks all its buckets in Python for every percentile; this looks once.
        """
        counts = np.ctypeslib.as_array(self._hdr.counts)
        filled = np.flatnonzero(counts)
        seen = np.cumsum(counts[filled])
        hdr = self._hdr
        return [
            (int(upto), hdr.get_highest_equivalent_value(hdr.get_value_from_index(int(at))) / 1000)
            for at, upto in zip(filled, seen, strict=True)
        ]

    def percentile_ms(self, percentile: float) -> float:
        """The value at or below which this percentage of the samples lies; 0 where there is none."""
        return value_at(self.values(), percentile)

    def latency(self, name: str) -> Latency:
        """The document's form."""
        values = self.values()

        def at(percentile: float) -> float:
            return value_at(values, percentile)

        return Latency(
            name=name,
            count=self.count,
            min_ms=values[0][1] if values else 0.0,
            p50_ms=at(50),
            p90_ms=at(90),
            p95_ms=at(95),
            p99_ms=at(99),
            p999_ms=at(99.9),
            max_ms=at(100),
            error_ms=self._error_ms,
            curve=tuple(CurvePoint(percentile=p, ms=at(p)) for p in _CURVE) if values else (),
            hdr=self._hdr.encode().decode("ascii"),
        )


def value_at(values: Sequence[tuple[int, float]], percentile: float) -> float:
    """The value of the sample whose rank is this share of all, rounded as HdrHistogram rounds."""
    if not values:
        return 0.0
    rank = max(1, int(percentile / 100 * values[-1][0] + 0.5))
    return values[bisect_left(values, (rank, 0.0))][1]


def histogram_of(milliseconds: Iterable[float]) -> Histogram:
    """A histogram of these samples."""
    made = Histogram()
    for value in milliseconds:
        made.add(value)
    return made


def values_of(latency: Latency) -> list[tuple[int, float]]:
    """The values of a distribution of a document."""
    return _read([latency]).values()


def add_up(latencies: Sequence[Latency]) -> Latency:
    """One distribution of all their samples."""
    return _read(latencies).latency(latencies[0].name)


def _read(latencies: Sequence[Latency]) -> Histogram:
    whole = Histogram()
    for latency in latencies:
        whole._hdr.decode_and_add(latency.hdr.encode("ascii"))
        whole._error_ms = max(whole._error_ms, latency.error_ms)
    return whole
