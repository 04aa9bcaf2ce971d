"""Fits what each further field of a case counts (`cases.field_weight`) on cases whose truth is known; pure.

The weight that makes the known truths most probable (least mean negative log-likelihood), and how far
the posterior of such cases is from what happens (expected calibration error). Fit it on cases that
trained nothing, and never on those that the figures are then reported on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.cases.combine import log_posterior

#: Fewer cases of more than one field say nothing about a weight.
LEAST_CASES: Final = 20
BINS: Final = 10
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_LEAST, _MOST = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class KnownCase:
    """The calibrated probabilities of a case's fields, and the class that it is."""

    fields: tuple[Mapping[str, float], ...]
    truth: str


@dataclass(frozen=True, slots=True)
class FittedWeight:
    """The weight and what it is worth."""

    field_weight: float
    #: Mean negative log-likelihood of the truth, in nats, with it; with 1; with a plain mean.
    nll: float
    nll_independent: float
    nll_mean: float
    #: Expected calibration error of the case's posterior, with it and with 1.
    ece: float
    ece_independent: float
    cases: int


def fit_weight(cases: Sequence[KnownCase], prior: Mapping[str, float]) -> FittedWeight:
    """The best weight; ValueError where there are too few cases of more than one field."""
    several = [case for case in cases if len(case.fields) > 1 and case.truth in prior]
    if len(several) < LEAST_CASES:
        raise ValueError(
            f"{len(several)} cases with a known truth and more than one field, at least "
            f"{LEAST_CASES} needed"
        )
    best = _least(lambda weight: _nll(several, prior, weight))
    return FittedWeight(
        field_weight=round(best, 3),
        nll=_nll(several, prior, best),
        nll_independent=_nll(several, prior, 1.0),
        nll_mean=_mean_nll(several, prior),
        ece=case_ece(several, prior, best),
        ece_independent=case_ece(several, prior, 1.0),
        cases=len(several),
    )


def case_ece(cases: Sequence[KnownCase], prior: Mapping[str, float], weight: float) -> float:
    """Mean over 10 equal bins of |confidence - share that is right|, weighted by cases."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for case in cases:
        found = log_posterior(case.fields, prior, weight)
        key, value = max(found.items(), key=lambda item: item[1])
        p = math.exp(value)
        bins[min(BINS - 1, int(p * BINS))].append((p, key == case.truth))
    total = sum(len(one) for one in bins)
    return math.fsum(
        abs(math.fsum(p for p, _ in one) - sum(right for _, right in one)) / total
        for one in bins
        if one
    )


def _nll(cases: Sequence[KnownCase], prior: Mapping[str, float], weight: float) -> float:
    return -math.fsum(
        log_posterior(case.fields, prior, weight)[case.truth] for case in cases
    ) / len(cases)


def _mean_nll(cases: Sequence[KnownCase], prior: Mapping[str, float]) -> float:
    return -math.fsum(
        log_posterior(case.fields, prior, 1 / len(case.fields))[case.truth] for case in cases
    ) / len(cases)


def _least(of: Callable[[float], float]) -> float:
    """Golden-section search: the mean negative log-likelihood of a log-linear model is convex."""
    low, high = _LEAST, _MOST
    while high - low > 1e-4:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if of(left) <= of(right):
            high = right
        else:
            low = left
    return (low + high) / 2
