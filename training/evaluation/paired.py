"""Two ways of answering the same images: the difference with its interval, and an exact test; pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from training.evaluation.classwise import DRAWS
from training.metrics import Interval, Numbers, balanced_accuracy, confusion


@dataclass(frozen=True, slots=True)
class Paired:
    """What one way has over the other."""

    first_only: int
    """Images that only the first answers rightly."""
    second_only: int
    p_value: float
    """McNemar, exact and two-sided: of images, which a group's images are not independent draws of."""
    difference: Interval
    """Balanced accuracy of the first minus the second's; bootstrap over groups, paired."""


def compare(
    labels: Numbers, first: Numbers, second: Numbers, groups: Numbers, *, draws: int = DRAWS
) -> Paired:
    """First against second on the same images."""
    classes = int(max(labels.max(), first.max(), second.max())) + 1
    first_right, second_right = first == labels, second == labels
    only = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    members = np.unique(groups, return_inverse=True)[1]
    count = int(members.max()) + 1
    tables = np.zeros((2, count, classes, classes), np.int64)
    for number, answers in enumerate((first, second)):
        np.add.at(tables[number], (members, labels, answers), 1)
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(draws):
        drawn = tables[:, rng.integers(count, size=count)].sum(axis=1)
        gaps.append(balanced_accuracy(drawn[0]) - balanced_accuracy(drawn[1]))
    low, high = np.percentile(gaps, [2.5, 97.5])
    value = balanced_accuracy(confusion(labels, first, classes))
    value -= balanced_accuracy(confusion(labels, second, classes))
    return Paired(*only, mcnemar(*only), Interval(value, float(low), float(high)))


def mcnemar(first_only: int, second_only: int) -> float:
    """The exact two-sided p value of a split like this one, were both ways equally good."""
    total, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(comb(total, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**total))
