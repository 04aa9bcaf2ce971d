"""The figures that stand beside every result, as card metrics with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloud_worker.diagnosis import Decision
from cloud_worker.models.card import BundleCard, Meaning, Metric
from training.metrics import (
    Interval,
    Numbers,
    balanced_accuracy_interval,
    confusion,
    macro_f1,
    recalls,
    wilson,
)
from wire_protocol.json_messages import Urgency


def image_metrics(
    labels: Numbers,
    answers: Numbers,
    groups: Numbers,
    keys: Sequence[str],
    split: str = "evaluated images",
) -> list[Metric]:
    """Balanced accuracy, macro F1 and recalls; an answer outside the classes is always wrong."""
    classes = len(keys) + 1
    table = confusion(labels, answers, classes)
    balanced = balanced_accuracy_interval(labels, answers, groups, classes)
    method = "bootstrap over groups, 1000 draws; largest probability counts as the answer"
    found = [_metric("balanced_accuracy", balanced, len(labels), split, method)]
    found.append(Metric(name="macro_f1", value=macro_f1(table), images=len(labels), split=split))
    for i, (key, recall) in enumerate(zip(keys, recalls(table), strict=False)):
        if table[i].sum():
            found.append(_metric(f"recall_{key}", recall, int(table[i].sum()), split, "Wilson"))
    return found


def outcome_metrics(
    card: BundleCard, labels: Numbers, decisions: Sequence[Decision]
) -> list[Metric]:
    """What the decision's rules make of the images: sensitivity, false alarms, abstentions."""
    meaning = np.array([str(card.classes[label].meaning) for label in labels])
    urgency = np.array([str(one.urgency) for one in decisions])
    found = []
    for name, meant, said in (
        ("acute_sensitivity", Meaning.ACUTE, Urgency.SUSPECTED_ACUTE),
        ("chronic_sensitivity", Meaning.CHRONIC, Urgency.SUSPECTED_CHRONIC),
        ("no_pattern_recognised", Meaning.NO_LEUKEMIA_PATTERN, Urgency.NO_LEUKEMIA_PATTERN),
    ):
        chosen = meaning == str(meant)
        if chosen.any():
            hits = int((urgency[chosen] == str(said)).sum())
            total = int(chosen.sum())
            found.append(_metric(name, wilson(hits, total), total, "evaluated images", "Wilson"))
    quiet = meaning == str(Meaning.NO_LEUKEMIA_PATTERN)
    if quiet.any():
        alarms = np.isin(urgency, [str(Urgency.SUSPECTED_ACUTE), str(Urgency.SUSPECTED_CHRONIC)])
        share = wilson(int(alarms[quiet].sum()), int(quiet.sum()))
        method = "Wilson; suspected acute or chronic where the label means no leukemia pattern"
        found.append(_metric("false_alarms", share, int(quiet.sum()), "evaluated images", method))
    unsure = int(np.isin(urgency, [str(Urgency.CANNOT_SAY), str(Urgency.RETAKE)]).sum())
    share = wilson(unsure, len(urgency))
    found.append(_metric("cannot_say", share, len(urgency), "evaluated images", "Wilson"))
    return found


def _metric(name: str, interval: Interval, images: int, split: str, method: str) -> Metric:
    return Metric(
        name=name,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        images=images,
        split=split,
        method=method,
    )
