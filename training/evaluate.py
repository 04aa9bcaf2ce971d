"""Judging a bundle on labelled images, or on foreign ones it should not judge, as serving runs it.

It refuses to call images unseen that were in the bundle's training part. (Just over 250 lines: one
page from images to figures.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cloud_worker.decode import decode
from cloud_worker.engines.engine import Engine, Outputs, join_outputs
from cloud_worker.finding import Conclusion, Finding
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import BundleCard, Metric
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import pool
from training import baseline
from training.data import DataError, Sample
from training.metrics import (
    Numbers,
    confusion,
    expected_calibration_error,
    negative_log_likelihood,
    softmax,
)
from training.report import image_metrics, outcome_metrics
from training.split import Parts, describe, split_by_group
from wire_protocol.words import RESEARCH_USE_ONLY


class Evaluation(BaseModel):
    """Everything an evaluation found; written as JSON by `hemowire evaluate --json`."""

    model_config = ConfigDict(frozen=True)

    bundle: str
    engine: str
    training_data: str
    images: int
    metrics: tuple[Metric, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    """True classes as rows, largest probability as columns; None for foreign images."""
    results: dict[str, int]
    """Decisions by result, `cannot_say` with its reason."""
    note: str = RESEARCH_USE_ONLY


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's finding; logits and mean colour are None where the network did not run."""

    finding: Finding
    logits: NDArray[np.float64] | None
    colour: NDArray[np.float64] | None


def judge(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Callable[[int], None] = lambda count: None,
) -> list[Judged]:
    """Decode, prepare, infer and decide each image as the worker does."""
    conclusion = Conclusion(bundle)
    judged: list[Judged] = []
    for number, sample in enumerate(samples, start=1):
        pixels = decode(sample.path.read_bytes())
        ready = (
            pixels if isinstance(pixels, Refusal) else conclusion.prepare(pixels, sample.um_per_px)
        )
        if isinstance(ready, Refusal):
            judged.append(Judged(conclusion.refuse(ready), None, None))
        else:
            step = engine.batch_size
            parts: list[Outputs] = [
                engine.infer(ready.tiles(start, start + step))
                for start in range(0, ready.count, step)
            ]
            outputs = join_outputs(parts)
            colour = baseline.mean_colours(ready.field[None])[0]
            judged.append(
                Judged(
                    conclusion.finish(ready, outputs), pool(outputs.logits, ready.weights), colour
                )
            )
        done(number)
    return judged


def evaluate(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Figures on labelled images the bundle was not trained on.

    Images that the network refuses count as wrong answers.
    """
    card = bundle.card
    refuse_training_images(card, samples)
    judged = judge(bundle, engine, samples, done)
    names = [kind.name for kind in card.classes]
    labels = np.array([names.index(sample.label) for sample in samples], np.int64)
    groups = np.unique([sample.group for sample in samples], return_inverse=True)[1]
    answers = np.array([_answer(one, len(names)) for one in judged], np.int64)
    metrics = image_metrics(labels, answers, groups, [kind.key for kind in card.classes])
    metrics += outcome_metrics(card, labels, [one.finding.decision for one in judged])
    metrics += _probability_metrics(card, labels, judged)
    metrics += _colour_metrics(labels, groups, judged, len(names))
    table = confusion(labels, np.minimum(answers, len(names) - 1), len(names))
    return _evaluation(bundle, engine, judged, metrics, tuple(tuple(map(int, r)) for r in table))


def evaluate_foreign(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """What is said about images that the bundle should not judge: how many it passes on."""
    judged = judge(bundle, engine, samples, done)
    return _evaluation(bundle, engine, judged, [], None)


def refuse_training_images(card: BundleCard, samples: Sequence[Sample]) -> None:
    """Raise DataError where these are the images of the card's training or calibration part."""
    own = describe(samples).sha256
    for name, part in card.training_data.splits.items():
        if name != "test" and part.sha256 == own:
            raise DataError(f"these {len(samples)} images are the bundle's {name} part")
    parts = _recorded_parts(card, samples)
    if parts is not None:
        raise DataError("this data set holds the bundle's training images: use --part test")


def test_part(card: BundleCard, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The images that the bundle's training kept for testing, checked against the card's digest."""
    parts = _recorded_parts(card, samples)
    if parts is None:
        raise DataError("this is not the data set that the bundle was trained on: leave out --part")
    return parts.test


def _recorded_parts(card: BundleCard, samples: Sequence[Sample]) -> Parts | None:
    """The parts by the card's own split, or None where the data set is another one."""
    settings, seed = card.recipe.settings, card.recipe.seeds.get("split")
    calibration, test = settings.get("split.calibration"), settings.get("split.test")
    if seed is None or not isinstance(calibration, float) or not isinstance(test, float):
        return None
    try:
        parts = split_by_group(samples, calibration=calibration, test=test, seed=seed)
    except DataError:
        return None
    recorded = card.training_data.splits.get("train")
    return parts if recorded is not None and describe(parts.train) == recorded else None


def recorded_scale(card: BundleCard) -> float | None:
    """The um per pixel that the recipe gave to images without one of their own."""
    scale = card.recipe.settings.get("data.um_per_px")
    return scale if isinstance(scale, float) else None


def foreign_samples(location: Path, um_per_px: float | None) -> list[Sample]:
    """Every image below a folder, without labels."""
    found = sorted(p for p in location.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not found:
        raise DataError(f"{location}: no images")
    return [Sample(path, "", str(path), "", um_per_px) for path in found]


def _answer(judged: Judged, classes: int) -> int:
    return classes if judged.logits is None else int(judged.logits.argmax())


def _probability_metrics(
    card: BundleCard, labels: Numbers, judged: Sequence[Judged]
) -> list[Metric]:
    seen = [i for i, one in enumerate(judged) if one.logits is not None]
    if not seen:
        return []
    logits = np.stack([one.logits for one in judged if one.logits is not None])
    p = softmax(logits, card.calibration.temperature)
    own = labels[seen]
    return [
        Metric(
            name="ece",
            value=expected_calibration_error(p, own),
            images=len(seen),
            split="evaluated images",
            method="15 bins, after temperature scaling",
        ),
        Metric(
            name="nll",
            value=negative_log_likelihood(p, own),
            images=len(seen),
            split="evaluated images",
            method="after temperature scaling",
        ),
    ]


def _colour_metrics(
    labels: Numbers, groups: Numbers, judged: Sequence[Judged], classes: int
) -> list[Metric]:
    """The mean-RGB baseline, learned on half of the groups and tried on the other, both ways."""
    seen = np.array([i for i, one in enumerate(judged) if one.colour is not None], np.int64)
    if len(seen) < 2:
        return []
    colours = np.stack([one.colour for one in judged if one.colour is not None])
    own, sides = labels[seen], np.random.default_rng(9).permutation(int(groups.max()) + 1) % 2
    side = sides[groups[seen]]
    if any(len(np.unique(own[side == s])) < 2 for s in (0, 1)):
        return []
    answers = np.zeros(len(seen), np.int64)
    for s in (0, 1):
        train, test = side != s, side == s
        answers[test] = baseline.answer_by_colour(colours[train], own[train], colours[test])
    found = image_metrics(own, answers, groups[seen], [str(k) for k in range(classes)])[0]
    method = "mean R, G, B alone, two-fold by group; bootstrap over groups"
    return [found.model_copy(update={"name": "mean_rgb_balanced_accuracy", "method": method})]


def _evaluation(
    bundle: Bundle,
    engine: Engine,
    judged: Sequence[Judged],
    metrics: Sequence[Metric],
    table: tuple[tuple[int, ...], ...] | None,
) -> Evaluation:
    results = Counter(
        one.finding.decision.result
        + (f": {one.finding.decision.reason}" if one.finding.decision.reason else "")
        for one in judged
    )
    return Evaluation(
        bundle=bundle.name,
        engine=engine.name,
        training_data=bundle.card.training_data_label,
        images=len(judged),
        metrics=tuple(metrics),
        classes=tuple(kind.name for kind in bundle.card.classes),
        confusion=table,
        results=dict(results.most_common()),
    )
