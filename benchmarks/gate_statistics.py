"""Shares with their intervals, ranks and the area under a curve, for the gate's report; it reads no picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Chance that a good frame scores higher than a bad one."""
    g, b = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float((g > b).mean() + 0.5 * (g == b).mean())


def ranks(values: Iterable[float]) -> npt.NDArray[np.float64]:
    """Ranks, ties sharing their mean."""
    array = np.asarray(list(values))
    return np.asarray([(array < v).sum() + 0.5 * (array == v).sum() for v in array], np.float64)


def share_words(hits: int, count: int) -> str:
    """Hits with their share in percent and its 95 % interval."""
    low, high = wilson(hits, count)
    return f"{hits}, {100 * hits / max(count, 1):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
