"""The five out-of-distribution tests of a bundle: every score fitted, one threshold each, all sets judged.

Scores see the training part alone, thresholds the calibration part alone, and the test part is judged
with both. The rule on magnification is left out: it would refuse most foreign images by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cloud_worker.engines.engine import Engine
from cloud_worker.foreignness.loading import load_score
from cloud_worker.foreignness.score import Foreignness
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.tiling import pool
from training.data import DataError, Sample, read_image
from training.evaluation.document import FOIL, OodTable
from training.evaluation.foreign_images import Rgb
from training.evaluation.goals import COVERAGE
from training.evaluation.ood_images import (
    MOST_IMAGES,
    ForeignSet,
    changed_sets,
    evenly,
    every_set,
)
from training.evaluation.ood_reading import read_field
from training.evaluation.ood_tests import HeldOut, LeftOut, Measured, ScoreRun, score_figures
from training.fitting_foreignness import (
    FIT_IMAGES,
    PLACES_OF,
    Learner,
    fit_score,
    small_changes,
)
from training.metrics import Numbers
from training.own_images import recorded_part, test_part
from training.regimes import FIFTHS, fifths_of

Say = Callable[[str], None]
KINDS = ("mahalanobis", "neighbours", "vim", "energy", "patches", "joint")
WORDS = {
    "mahalanobis": "distance of pooled features to the nearest class centre",
    "neighbours": "distance of pooled features to the fifth nearest training image",
    "vim": "pooled features outside the principal directions, less the energy",
    "energy": "energy of the logits",
    "patches": "farthest places of the last maps from training places",
    "joint": "pooled features, their deviations over the field, and direction alone, together",
    FOIL: "mean and deviation of R, G and B alone: the foil, never carried",
}


@dataclass(frozen=True, slots=True)
class _Score:
    """One score, and the same score fitted without each class and without each fifth of the file order."""

    kind: str
    whole: Foreignness
    without: tuple[Foreignness, ...]
    without_fifth: tuple[Foreignness, ...]
    is_carried: bool


@dataclass(slots=True)
class _Gathered:
    distances: dict[str, list[float]] = field(default_factory=dict)
    called: list[bool] = field(default_factory=list)


def run_ood_tests(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    foreign: Sequence[ForeignSet],
    *,
    kinds: Sequence[str] = KINDS,
    fit_images: int = FIT_IMAGES,
    judged_images: int = MOST_IMAGES,
    say: Say = lambda words: None,
) -> OodTable:
    """All tests with all scores; `samples` are the whole data set that the bundle was made from."""
    train, calibration = (recorded_part(bundle, samples, name) for name in ("train", "calibration"))
    test = test_part(bundle, samples)
    if not (train and calibration):
        raise DataError("the data set lacks the bundle's training or calibration images")
    say("fitting the scores")
    fifths = fifths_of(samples)
    scores = _fit(bundle, engine, evenly(train, fit_images), kinds, fifths)
    held = _gather(bundle, engine, scores, calibration, _pixels(calibration), more=True)
    say("judging the test part")
    own = _gather(bundle, engine, scores, test, _pixels(test), more=True)
    scale = _scale(bundle, test)
    measured: dict[str, list[Measured]] = {score.kind: [] for score in scores}
    for one in every_set(train, test, foreign, scale, judged_images):
        say(f"({one.test[0]}) {one.on}")
        found = _gather(bundle, engine, scores, (), one.images, um_per_px=scale)
        for score in scores:
            distances = np.array(found.distances[score.kind])
            called = np.array(found.called, np.bool_)
            measured[score.kind].append(Measured(one.test, one.on, distances, called))
    names = [kind.name for kind in bundle.card.classes]
    labels = np.array([names.index(sample.label) for sample in test], np.int64)
    fitted_on = (
        f"score: train part ({min(fit_images, len(train))} images); "
        f"threshold: calibration part ({len(calibration)} images)"
    )
    runs = [
        ScoreRun(
            kind=score.kind,
            words=WORDS[score.kind],
            is_carried=score.is_carried,
            fitted_on=fitted_on,
            calibration=np.array(held.distances[score.kind]),
            calibration_images=frozenset(sample.sha256 for sample in calibration),
            own=np.array(own.distances[score.kind]),
            own_images=frozenset(sample.sha256 for sample in test),
            measured=measured[score.kind],
            left_out=_left_out(score, own, labels, names),
            held_out=_held_out(
                score,
                (held, [fifths[sample.path] for sample in calibration]),
                (own, [fifths[sample.path] for sample in test]),
            ),
        )
        for score in scores
    ]
    return OodTable(
        coverage=COVERAGE,
        left_out="refitted",
        nuisances=tuple(one.on for one in changed_sets(())),
        scores=tuple(score_figures(run, COVERAGE) for run in runs),
    )


def _fit(
    bundle: Bundle,
    engine: Engine,
    train: Sequence[Sample],
    kinds: Sequence[str],
    fifths: Mapping[Path, int],
) -> list[_Score]:
    names = [kind.name for kind in bundle.card.classes]
    learner, by_colour = Learner(places_of_every=max(1, 2 * len(train) // PLACES_OF)), Learner()
    for number, sample in enumerate(train):
        image, label = read_image(sample.path), names.index(sample.label)
        for pixels in (image, small_changes(image, number)):
            seen = read_field(bundle, engine, pixels, sample.um_per_px)
            labels = [label] * len(seen.weights)
            learner.add(seen.outputs, labels, fifths[sample.path])
            if pixels is image:
                by_colour.add(seen.colours, labels, fifths[sample.path])
    whole, foil = learner.learned(), by_colour.learned()
    carried = load_score(bundle)
    scores = []
    for kind in (*kinds, FOIL):
        known, fitted_as = (foil, "mahalanobis") if kind == FOIL else (whole, kind)
        is_carried = carried is not None and carried.kind == kind
        fitted = carried if is_carried and carried is not None else fit_score(fitted_as, known)
        without = tuple(fit_score(fitted_as, known.without(number)) for number in range(len(names)))
        held = tuple(fit_score(fitted_as, known.without_fifth(fifth)) for fifth in FIFTHS)
        scores.append(_Score(kind, fitted, without, held, is_carried))
    return scores


def _gather(
    bundle: Bundle,
    engine: Engine,
    scores: Sequence[_Score],
    samples: Sequence[Sample],
    images: Iterable[Rgb],
    *,
    um_per_px: float | None = None,
    more: bool = False,
) -> _Gathered:
    """Distances by every score, and with `more` also by those that never saw a class or a fifth."""
    found = _Gathered()
    for number, image in enumerate(images):
        scale = samples[number].um_per_px if samples else um_per_px
        seen = read_field(bundle, engine, image, scale)
        found.called.append(seen.is_called)
        for score in scores:
            pairs = [(score.kind, score.whole)]
            if more:
                pairs += [(f"{score.kind} {n}", one) for n, one in enumerate(score.without)]
                pairs += [
                    (f"{score.kind} fifth {n}", one)
                    for n, one in enumerate(score.without_fifth, start=1)
                ]
            for name, one in pairs:
                outputs = seen.colours if score.kind == FOIL else seen.outputs
                distance = float(pool(one.distances(outputs), seen.weights))
                found.distances.setdefault(name, []).append(distance)
    return found


def _left_out(
    score: _Score, own: _Gathered, labels: Numbers, names: Sequence[str]
) -> tuple[LeftOut, ...]:
    return tuple(
        LeftOut(
            names[number],
            np.array(own.distances[f"{score.kind} {number}"]),
            labels == number,
        )
        for number in range(len(names))
        if (labels == number).any()
    )


def _held_out(
    score: _Score, held: tuple[_Gathered, list[int]], own: tuple[_Gathered, list[int]]
) -> tuple[HeldOut, ...]:
    """Every fifth, or nothing where one of them has no test image."""
    made = []
    for fifth in FIFTHS:
        others, inside = np.array(held[1]) != fifth, np.array(own[1]) == fifth
        if not (others.any() and inside.any()):
            return ()
        name = f"{score.kind} fifth {fifth}"
        calibration = np.array(held[0].distances[name])[others]
        made.append(HeldOut(fifth, calibration, np.array(own[0].distances[name])[inside]))
    return tuple(made)


def _scale(bundle: Bundle, samples: Sequence[Sample]) -> float | None:
    """The scale that images without one are taken to have: that of the bundle's own."""
    scales = [sample.um_per_px for sample in samples if sample.um_per_px]
    return float(np.median(scales)) if scales else bundle.card.preprocessing.um_per_px


def _pixels(samples: Sequence[Sample]) -> Iterable[Rgb]:
    return (read_image(sample.path) for sample in samples)
