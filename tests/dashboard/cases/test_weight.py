"""Fitting what a field counts: on cases whose fields repeat each other it is small, on independent ones near 1."""

from __future__ import annotations

import math
import random

import pytest

from dashboard.cases.weight import KnownCase, case_ece, fit_weight

KEYS = ("a", "b", "c")
PRIOR = dict.fromkeys(KEYS, 1 / 3)


def cases(seed: int, *, fields: int, repeat: bool) -> list[KnownCase]:
    """Fields of a network that is calibrated alone; with `repeat` each case's fields are copies."""
    draw, found = random.Random(seed), []
    for _ in range(250):
        told: list[dict[str, float]] = []
        truth = draw.choice(KEYS)
        while len(told) < fields:
            seen = truth if draw.random() < 0.7 else draw.choice([k for k in KEYS if k != truth])
            p = {key: 0.7 if key == seen else 0.15 for key in KEYS}
            told = [p] * fields if repeat else [*told, p]
        found.append(KnownCase(tuple(told), truth))
    return found


def test_independent_fields_count_in_full_and_copies_as_one() -> None:
    alone = fit_weight(cases(1, fields=4, repeat=False), PRIOR)
    copies = fit_weight(cases(2, fields=4, repeat=True), PRIOR)
    assert alone.field_weight > 0.8
    assert copies.field_weight == pytest.approx(0.25, abs=0.08)  # four copies are one field
    assert copies.nll < copies.nll_independent and copies.ece < copies.ece_independent
    assert alone.nll < alone.nll_mean


def test_the_fit_is_the_least_of_a_fine_grid() -> None:
    known = cases(3, fields=3, repeat=True)
    fitted = fit_weight(known, PRIOR)

    def nll(weight: float) -> float:
        total = 0.0
        for case in known:
            sums = {k: sum(math.log(p[k]) for p in case.fields) * weight for k in KEYS}
            total -= sums[case.truth] - math.log(sum(math.exp(v) for v in sums.values()))
        return total / len(known)

    best = min((n / 50 for n in range(1, 51)), key=nll)
    assert fitted.field_weight == pytest.approx(best, abs=0.021)
    assert fitted.nll == pytest.approx(nll(fitted.field_weight), abs=1e-4)


def test_calibration_error_is_what_confidence_and_outcome_differ_by() -> None:
    p = {"a": 0.8, "b": 0.1, "c": 0.1}
    known = [KnownCase((p,), "a")] * 6 + [KnownCase((p,), "b")] * 4
    assert case_ece(known, PRIOR, 1.0) == pytest.approx(0.2)


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        fit_weight(cases(1, fields=2, repeat=False)[:19], PRIOR)
    with pytest.raises(ValueError, match="0 cases"):
        fit_weight(cases(1, fields=1, repeat=False), PRIOR)
