"""All figures that follow from labels, groups and logits alone, whichever program made them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import ClassCard, Metric
from training.evaluation.classwise import class_figures, macro_f1_interval, overall_accuracy
from training.evaluation.confounds import share_of
from training.evaluation.curves import (
    auroc,
    brier,
    precision_recall,
    reliability,
    risk_coverage,
    roc,
    thinned,
)
from training.evaluation.document import (
    Calibrated,
    ClassRow,
    ReliabilityBin,
    RiskCoverage,
)
from training.metrics import (
    Interval,
    Numbers,
    Probabilities,
    balanced_accuracy_interval,
    confusion,
    expected_calibration_error,
    negative_log_likelihood,
    softmax,
)

BOOTSTRAP = "bootstrap over groups, 1000 draws; largest probability counts as the answer"


@dataclass(frozen=True, slots=True)
class Answered:
    """Labelled images and the network's logits; a row of NaN is an image that was refused."""

    logits: NDArray[np.float64]
    labels: Numbers
    groups: Numbers
    temperature: float

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Images that the network judged."""
        return np.asarray(~np.isnan(self.logits).any(axis=1))

    @property
    def classes(self) -> int:
        """K."""
        return int(self.logits.shape[1])

    @property
    def answers(self) -> Numbers:
        """The largest logit's class; K for a refused image, which is always wrong."""
        found = np.full(len(self.labels), self.classes, np.int64)
        found[self.seen] = self.logits[self.seen].argmax(axis=1)
        return found

    def probabilities(self, temperature: float | None = None) -> Probabilities:
        """Of the images that were judged."""
        return softmax(self.logits[self.seen], temperature or self.temperature)

    def table(self) -> NDArray[np.int64]:
        """K rows of true classes, K answers and a last column for refused images."""
        return confusion(self.labels, self.answers, self.classes + 1)[: self.classes]


def together(parts: Sequence[Answered]) -> Answered:
    """Parts of one set, judged by networks of their own; no group lies in two of them."""
    offsets = np.cumsum([0, *(int(part.groups.max()) + 1 for part in parts[:-1])])
    return Answered(
        logits=np.concatenate([part.logits for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        groups=np.concatenate([p.groups + o for p, o in zip(parts, offsets, strict=True)]),
        temperature=1.0,
    )


def whole_figures(one: Answered, split: str = "evaluated images") -> list[Metric]:
    """Overall and balanced accuracy, macro F1, mean AUROC: four names, never one for another."""
    classes = one.classes + 1
    table = confusion(one.labels, one.answers, classes)
    balanced = balanced_accuracy_interval(one.labels, one.answers, one.groups, classes)
    f1 = macro_f1_interval(one.labels, one.answers, one.groups, one.classes)
    found = [
        metric("overall_accuracy", overall_accuracy(table), len(one.labels), split, "Wilson"),
        metric("balanced_accuracy", balanced, len(one.labels), split, BOOTSTRAP),
        metric("macro_f1", f1, len(one.labels), split, BOOTSTRAP),
    ]
    areas = [row for row in _class_areas(one) if row is not None]
    if areas:
        words = "mean over the classes, each against the rest, of images that were judged"
        value = float(np.mean(areas))
        images = int(one.seen.sum())
        found.append(
            Metric(name="macro_auroc", value=value, images=images, split=split, method=words)
        )
    return found


def class_rows(one: Answered, classes: Sequence[ClassCard]) -> tuple[ClassRow, ...]:
    """Each class against the rest."""
    figures = class_figures(one.labels, one.answers, one.groups, one.classes)
    p, labels = one.probabilities(), one.labels[one.seen]
    rows = []
    for number, (kind, own) in enumerate(zip(classes, figures, strict=True)):
        truth = labels == number
        ranked = roc(p[:, number], truth) if truth.size else None
        recalled = precision_recall(p[:, number], truth) if truth.size else None
        rows.append(
            ClassRow(
                name=kind.name,
                key=kind.key,
                meaning=kind.meaning.value,
                images=own.images,
                precision=share_of(own.precision),
                recall=share_of(own.recall),
                f1=share_of(own.f1),
                one_vs_rest_accuracy=share_of(own.one_vs_rest),
                auroc=ranked.area if ranked else None,
                average_precision=recalled.area if recalled else None,
                roc=thinned(ranked) if ranked else (),
                precision_recall=thinned(recalled) if recalled else (),
            )
        )
    return tuple(rows)


def calibrated_at(one: Answered, temperature: float) -> Calibrated:
    """How probabilities at this temperature fit what was right."""
    p, labels = one.probabilities(temperature), one.labels[one.seen]
    bins = tuple(
        ReliabilityBin(
            low=b.low,
            high=b.high,
            images=b.images,
            confidence=b.confidence,
            right=share_of(b.right),
        )
        for b in reliability(p, labels)
    )
    return Calibrated(
        temperature=temperature,
        expected_calibration_error=expected_calibration_error(p, labels),
        brier=brier(p, labels),
        negative_log_likelihood=negative_log_likelihood(p, labels),
        bins=bins,
    )


def risk_at(one: Answered, abstention: float) -> RiskCoverage:
    """Risk over coverage, and where the card's threshold lies on it."""
    p = one.probabilities()
    confidence, wrong = p.max(axis=1), p.argmax(axis=1) != one.labels[one.seen]
    curve = risk_coverage(confidence, wrong)
    answered = confidence >= abstention
    return RiskCoverage(
        aurc=curve.area,
        points=thinned(curve),
        abstention=abstention,
        answered=float(answered.mean()),
        risk_when_answered=float(wrong[answered].mean()) if answered.any() else None,
    )


def metric(name: str, interval: Interval, images: int, split: str, method: str) -> Metric:
    """A figure as cards and metrics.json hold it."""
    return Metric(
        name=name,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        images=images,
        split=split,
        method=method,
    )


def _class_areas(one: Answered) -> list[float | None]:
    if not one.seen.any():
        return []
    p, labels = one.probabilities(), one.labels[one.seen]
    return [auroc(p[:, number], labels == number) for number in range(one.classes)]
