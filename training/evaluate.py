"""Judging a bundle on labelled images, or on foreign ones it should not judge, as serving runs it.

It refuses to call images unseen that the bundle was made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cloud_worker.engines.engine import Engine
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import BundleCard, Metric
from edge_device.simulator.dataset import TRUTH_FILE
from training.data import IMAGE_SUFFIXES, DataError, Sample, list_images
from training.evaluation.answers import (
    Answered,
    calibrated_at,
    class_rows,
    metric,
    risk_at,
    whole_figures,
)
from training.evaluation.confounds import answer_across_groups, confound_rows, share_of
from training.evaluation.document import Evaluation, Facts, PairedRow
from training.evaluation.judge import Judged, judge
from training.evaluation.paired import compare
from training.evaluation.training_record import read_epochs
from training.metrics import Numbers, balanced_accuracy_interval
from training.own_images import refuse_training_images
from training.report import outcome_metrics

Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """How an evaluation was asked for: words for its report."""

    command: str = "hemowire evaluate"
    evaluated: str = "evaluated images"
    is_synthetic: bool = False
    sources: tuple[str, ...] = ()
    """One per sample where the data set says it; empty where it does not."""


def evaluate(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Done = lambda count: None,
    asked: Asked | None = None,
) -> Evaluation:
    """Figures on labelled images the bundle was not made from.

    Images that the network refuses count as wrong answers.
    """
    refuse_training_images(bundle, samples)
    return evaluate_judged(bundle, engine, samples, judge(bundle, engine, samples, done), asked)


def evaluate_judged(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    judged: Sequence[Judged],
    asked: Asked | None = None,
) -> Evaluation:
    """The same of images that were judged already."""
    card, asked = bundle.card, asked or Asked()
    one = answered_of(card, samples, judged)
    metrics = whole_figures(one)
    metrics += _recall_metrics(card, one)
    metrics += outcome_metrics(card, one.labels, [j.finding.decision for j in judged])
    seen = np.flatnonzero(one.seen)
    made = _evaluation(bundle, engine, samples, judged, asked)
    table = tuple(tuple(map(int, row)) for row in one.table())
    if not seen.size:
        return made.model_copy(update={"metrics": tuple(metrics), "confusion": table})
    calibrated = calibrated_at(one, card.calibration.temperature)
    images = int(seen.size)
    for name, value, how in (
        ("ece", calibrated.expected_calibration_error, "15 bins, after temperature scaling"),
        ("nll", calibrated.negative_log_likelihood, "after temperature scaling"),
        ("brier", calibrated.brier, "sum over classes, after temperature scaling"),
    ):
        metrics.append(
            Metric(name=name, value=value, images=images, split="evaluated images", method=how)
        )
    clues = [clue for number in seen if (clue := judged[int(number)].clues) is not None]
    labels, groups = one.labels[seen], one.groups[seen]
    sources = [asked.sources[number] for number in seen] if asked.sources else []
    colours = np.stack([clue.mean_rgb for clue in clues])
    by_colour = answer_across_groups(colours, labels, groups)
    paired: list[PairedRow] = []
    if by_colour is not None:
        found = balanced_accuracy_interval(labels, by_colour, groups, one.classes)
        how = "mean R, G, B alone, five-fold by group; bootstrap over groups"
        metrics.append(metric("mean_rgb_balanced_accuracy", found, images, "evaluated images", how))
        paired.append(paired_row("network", "mean RGB", one, seen, by_colour))
    return made.model_copy(
        update={
            "metrics": tuple(metrics),
            "confusion": table,
            "per_class": class_rows(one, card.classes),
            "before_temperature": calibrated_at(one, 1.0),
            "after_temperature": calibrated,
            "risk_coverage": risk_at(one, card.thresholds.abstention),
            "confounds": confound_rows(clues, labels, groups, sources),
            "paired": tuple(paired),
        }
    )


def evaluate_foreign(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    done: Done = lambda count: None,
    asked: Asked | None = None,
) -> Evaluation:
    """What is said about images that the bundle should not judge: how many it passes on."""
    judged = judge(bundle, engine, samples, done)
    return _evaluation(bundle, engine, samples, judged, asked or Asked())


def answered_of(card: BundleCard, samples: Sequence[Sample], judged: Sequence[Judged]) -> Answered:
    """Labels, groups and logits as numbers."""
    names = [kind.name for kind in card.classes]
    nothing = np.full(len(names), np.nan)
    return Answered(
        logits=np.stack([nothing if one.logits is None else one.logits for one in judged]),
        labels=np.array([names.index(sample.label) for sample in samples], np.int64),
        groups=np.unique([sample.group for sample in samples], return_inverse=True)[1],
        temperature=card.calibration.temperature,
    )


def paired_row(
    first: str, second: str, one: Answered, images: Numbers, others: Numbers
) -> PairedRow:
    """The network's answers to these images against others to the same."""
    found = compare(one.labels[images], one.answers[images], others, one.groups[images])
    return PairedRow(
        first=first,
        second=second,
        first_only=found.first_only,
        second_only=found.second_only,
        mcnemar_p=found.p_value,
        difference=share_of(found.difference),
    )


def is_simulated(location: Path) -> bool:
    """Whether a data set was rendered by the simulator, which leaves its truth beside the images."""
    return (location if location.is_dir() else location.parent).joinpath(TRUTH_FILE).is_file()


def sources_of(location: Path, samples: Sequence[Sample]) -> tuple[str, ...]:
    """Where each image comes from by the data set's manifest; empty where it does not say."""
    known = {image.path: image.source for image in list_images(location)}
    found = tuple(known.get(sample.path, "") for sample in samples)
    return found if any(found) else ()


def foreign_samples(location: Path, um_per_px: float | None) -> list[Sample]:
    """Every image below a folder, without labels."""
    found = sorted(p for p in location.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"{location}: no images")
    return [Sample(path, "", str(path), "", um_per_px) for path in found]


def _recall_metrics(card: BundleCard, one: Answered) -> list[Metric]:
    return [
        Metric(
            name=f"recall_{row.key}",
            value=row.recall.value,
            low=row.recall.low,
            high=row.recall.high,
            images=row.images,
            split="evaluated images",
            method="Wilson",
        )
        for row in class_rows(one, card.classes)
        if row.recall.value is not None
    ]


def _evaluation(
    bundle: Bundle,
    engine: Engine,
    samples: Sequence[Sample],
    judged: Sequence[Judged],
    asked: Asked,
) -> Evaluation:
    card = bundle.card
    results = Counter(
        one.finding.decision.result
        + (f": {one.finding.decision.reason}" if one.finding.decision.reason else "")
        for one in judged
    )
    return Evaluation(
        bundle=bundle.name,
        engine=engine.name,
        training_data=card.training_data_label,
        images=len(judged),
        facts=Facts(
            bundle=bundle.name,
            architecture=card.architecture,
            engine=engine.name,
            training_data=f"{card.training_data_label} ({card.training_data.credit})",
            initial_weights=card.recipe.initial_weights,
            recipe=f"{card.recipe.name}: {card.recipe.command}",
            grouped_by=card.training_data.grouped_by,
            evaluated=asked.evaluated,
            is_synthetic=asked.is_synthetic,
            images=len(judged),
            groups=len({sample.group for sample in samples}),
            command=asked.command,
            hemowire=version("hemowire"),
        ),
        metrics=(),
        classes=tuple(kind.name for kind in card.classes),
        confusion=None,
        results=dict(results.most_common()),
        training_curves=read_epochs(bundle.folder),
    )
