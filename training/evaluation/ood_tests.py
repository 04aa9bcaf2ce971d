"""The five out-of-distribution tests as arithmetic on distances; it runs no network and fits nothing.

One threshold per score, at 90 % coverage of the calibration images; `fix_threshold` refuses to see an
image that is judged with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.data import DataError
from training.evaluation.curves import auroc
from training.evaluation.document import (
    HISTOGRAM_TOP,
    OodFigure,
    OodHistogram,
    OodScore,
)
from training.metrics import Numbers, wilson

Distances = NDArray[np.float64]
Test = Literal["a", "b", "c", "c_control", "e", "e_fifth"]

Role = Literal["own", "changed", "foreign"]

BARS = 45
KEPT_TESTS = frozenset({"c_control", "e"})
"""Tests whose figure is the share that is kept, not the share that is rejected."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set of images with one score."""

    test: Test
    on: str
    distances: Distances
    called: NDArray[np.bool_]
    """Whether the decision without this score would suspect leukemia."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Test (d): distances of test images by a score that never saw one class."""

    name: str
    distances: Distances
    is_left_out: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One fifth of the file order by a score and a threshold that never saw it; the network may have."""

    fifth: int
    calibration: Distances
    """Of the calibration images of the other fifths."""
    own: Distances
    """Of the fifth's test images."""


@dataclass(frozen=True, slots=True)
class ScoreRun:
    """All that one score measured."""

    kind: str
    words: str
    is_carried: bool
    fitted_on: str
    calibration: Distances
    calibration_images: frozenset[str]
    """sha256 of each."""
    own: Distances
    """Of the test part as it is."""
    own_images: frozenset[str]
    measured: Sequence[Measured]
    left_out: Sequence[LeftOut] = field(default_factory=tuple)
    held_out: Sequence[HeldOut] = field(default_factory=tuple)


def fix_threshold(
    calibration: Distances, images: Iterable[str], judged: Iterable[str], coverage: float
) -> float:
    """The distance that `coverage` of the calibration images do not exceed.

    DataError where an image to be judged is among them.
    """
    both = set(images) & set(judged)
    if both:
        raise DataError(
            f"{len(both)} images are both fitted on and judged, such as sha256 {min(both)[:16]}"
        )
    if not calibration.size:
        raise DataError("no calibration images: a threshold cannot be fixed")
    return float(np.percentile(calibration, 100 * coverage))


def score_figures(run: ScoreRun, coverage: float) -> OodScore:
    """Every figure and picture of one score."""
    limit = fix_threshold(run.calibration, run.calibration_images, run.own_images, coverage)
    figures = [_kept("e", "test part as it is", run.own, limit)]
    histograms = [_histogram("test part", "own", run.own, limit)]
    for one in run.measured:
        if one.test in KEPT_TESTS:
            figures.append(_kept(one.test, one.on, one.distances, limit))
        else:
            figures.append(_rejected(one, limit))
        role: Role = "changed" if one.test in KEPT_TESTS else "foreign"
        histograms.append(_histogram(f"{one.test[0]}: {one.on}", role, one.distances, limit))
    figures += _fifths(run.held_out, coverage)
    for left in run.left_out:
        area = auroc(left.distances, left.is_left_out)
        if area is not None:
            figures.append(_area(left, area))
    return OodScore(
        kind=run.kind,
        words=run.words,
        is_carried=run.is_carried,
        threshold=limit,
        fitted_on=run.fitted_on,
        figures=tuple(figures),
        histograms=tuple(histograms),
    )


def _fifths(held_out: Sequence[HeldOut], coverage: float) -> list[OodFigure]:
    """All fifths together, which the goal is set for, and each one."""
    limits = [float(np.percentile(one.calibration, 100 * coverage)) for one in held_out]
    in_limits = [one.own / limit for one, limit in zip(held_out, limits, strict=True)]
    if not in_limits:
        return []
    single = [
        _kept("e_fifth", f"fifth {one.fifth} of the file order, held out", distances, 1.0)
        for one, distances in zip(held_out, in_limits, strict=True)
    ]
    whole = "fifths of the file order, each held out in turn"
    return [_kept("e", whole, np.concatenate(in_limits), 1.0), *single]


def _kept(test: Test, on: str, distances: Distances, limit: float) -> OodFigure:
    share = wilson(int((distances <= limit).sum()), len(distances))
    return OodFigure(
        test=test, on=on, images=len(distances), value=share.value, low=share.low, high=share.high
    )


def _rejected(one: Measured, limit: float) -> OodFigure:
    beyond = one.distances > limit
    share = wilson(int(beyond.sum()), len(beyond))
    return OodFigure(
        test=one.test,
        on=one.on,
        images=len(beyond),
        value=share.value,
        low=share.low,
        high=share.high,
        called_leukemic=float((~beyond & one.called).mean()),
    )


def _area(left: LeftOut, area: float, draws: int = 200) -> OodFigure:
    rng = np.random.default_rng(7)
    count = len(left.distances)
    areas = []
    for _ in range(draws):
        drawn = rng.integers(count, size=count)
        found = auroc(left.distances[drawn], left.is_left_out[drawn])
        if found is not None:
            areas.append(found)
    low, high = np.percentile(areas, [2.5, 97.5])
    return OodFigure(
        test="d", on=f"without {left.name}", images=count, value=area, low=low, high=high
    )


def _histogram(on: str, role: Role, distances: Distances, limit: float) -> OodHistogram:
    in_limits = np.minimum(distances / limit, HISTOGRAM_TOP - 1e-9)
    counts: Numbers = np.histogram(in_limits, BARS, (0.0, HISTOGRAM_TOP))[0].astype(np.int64)
    shares = tuple(round(float(share), 5) for share in counts / max(1, len(distances)))
    beyond = float((distances > limit).mean())
    return OodHistogram(on=on, role=role, images=len(distances), beyond=beyond, shares=shares)
