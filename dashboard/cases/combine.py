"""Fields of one case -> the case's result, by the rules of DIAGNOSIS.md "Slide". Pure; no argmax. (Over 250 lines: the
rules stand in their order, and a reader compares them with that page.)

The posterior is log prior + field_weight x sum(log p_field - log prior), normalised. Then, the first
that applies:

1. no field can be judged: cannot_say; urgency `retake` where every one is a technical failure;
2. fewer white cells than needed (where all were counted) and acute leukemia suspected in fewer than
   2 fields: cannot_say, too_few_white_cells, probabilities null;
3. p_acute >= t_acute: suspected_acute; the class that holds 80 % of p_acute, else acute_uncertain;
4. acute leukemia suspected in 2 fields or more, but not of their sum: cannot_say, fields_disagree;
5. p_chronic >= t_chronic: suspected_chronic;
6. largest below the abstention threshold, or a leukemia class largest: cannot_say, low_confidence;
7. else no_leukemia_pattern.

A field that is suspected_acute is counted in `acute_fields` whatever the sum says. Fields of another
bundle than the one most fields have, or of a worker that does not tell what its classes mean, are
not summed; where nothing can be summed, the most urgent field speaks for the case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.cases.settings import CaseSettings
from wire_protocol.json_messages import (
    ACUTE_UNCERTAIN,
    CANNOT_SAY,
    URGENCY_RANK,
    Reason,
    Urgency,
)

DECIMALS: Final = 4
LINEAGE_SHARE: Final = 0.8
#: Two fields can be two people's mistake of the model less easily than one.
ACUTE_FIELDS_NEEDED: Final = 2
#: Probabilities are told with four decimals: a told 0 is anything below half of the last one.
LEAST_P: Final = 0.00005


@dataclass(frozen=True, slots=True)
class Limits:
    """The bundle's thresholds, and what its classes mean; each class in neither set means no
    leukemia pattern."""

    acute: tuple[str, ...]
    chronic: tuple[str, ...]
    t_acute: float
    t_chronic: float
    abstention: float


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What was said of one field."""

    image_id: str
    urgency: Urgency
    result: str
    reason: str
    bundle: str
    #: By class key; None where the network did not run or may not be heard (rules 1 and 2).
    probabilities: Mapping[str, float] | None
    #: None where the worker did not tell them.
    limits: Limits | None
    white_cells: int | None
    #: Of a small preview; the picture itself is still to come.
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What is said of the case."""

    result: str
    urgency: Urgency
    reason: str
    #: The case's posterior by class key, rounded; None where it may not be heard.
    probabilities: dict[str, float] | None
    p_acute: float | None
    p_chronic: float | None
    #: The posterior of the fields so far, also where it may not be heard yet; a page calls it so.
    running: dict[str, float] | None
    #: Fields that are no technical failures, and fields that are.
    fields: int
    retakes: int
    #: Fields of which only a preview has come; they speak where there is no other field.
    previews: int
    #: Fields that the sum rests on.
    summed: int
    acute_fields: int
    #: None where one of the fields was not counted.
    white_cells: int | None
    #: The field that stands for the case: the most suspicious one.
    leading: str
    bundle: str

    @property
    def is_preview(self) -> bool:
        """Whether it rests on previews alone."""
        return self.fields + self.retakes == 0

    @property
    def rank(self) -> int:
        """The order of work."""
        return URGENCY_RANK[self.urgency]


def combine(fields: Sequence[FieldResult], settings: CaseSettings) -> CaseResult:
    """The result of these fields, in any order; ValueError without any."""
    if not fields:
        raise ValueError("a case without fields has no result")
    whole = [field for field in fields if not field.is_preview]
    heard = whole or fields
    judged = [field for field in heard if field.urgency is not Urgency.RETAKE]
    acute = sum(field.urgency is Urgency.SUSPECTED_ACUTE for field in judged)
    summed, limits = _summable(judged)
    running = None if limits is None else _posterior(summed, settings)
    leading = min(heard, key=_suspicion)
    counts = [field.white_cells for field in judged if field.white_cells is not None]
    white_cells = sum(counts) if judged and len(counts) == len(judged) else None
    said = _judge(
        leading,
        limits,
        running,
        acute_fields=acute,
        white_cells=white_cells,
        judged=len(judged),
        settings=settings,
    )
    shown = running if said.is_heard else None
    return CaseResult(
        result=said.result,
        urgency=said.urgency,
        reason=said.reason,
        probabilities=shown,
        p_acute=None if limits is None else _share(shown, limits.acute),
        p_chronic=None if limits is None else _share(shown, limits.chronic),
        running=running,
        fields=len(judged) if whole else 0,
        retakes=len(heard) - len(judged) if whole else 0,
        previews=len(fields) - len(whole),
        summed=len(summed),
        acute_fields=acute,
        white_cells=white_cells,
        leading=leading.image_id,
        bundle=summed[-1].bundle if summed else leading.bundle,
    )


@dataclass(frozen=True, slots=True)
class _Said:
    result: str
    urgency: Urgency
    reason: str = ""
    is_heard: bool = True


def _judge(
    leading: FieldResult,
    limits: Limits | None,
    running: Mapping[str, float] | None,
    *,
    acute_fields: int,
    white_cells: int | None,
    judged: int,
    settings: CaseSettings,
) -> _Said:
    if not judged:
        return _Said(CANNOT_SAY, Urgency.RETAKE, leading.reason, is_heard=False)
    too_few = white_cells is not None and white_cells < settings.white_cells_needed
    if too_few and acute_fields < ACUTE_FIELDS_NEEDED:
        reason = Reason.TOO_FEW_WHITE_CELLS.value
        return _Said(CANNOT_SAY, Urgency.CANNOT_SAY, reason, is_heard=False)
    if limits is None or running is None:
        return _Said(leading.result, leading.urgency, leading.reason, is_heard=False)
    return _judge_sum(running, limits, acute_fields)


def _judge_sum(running: Mapping[str, float], limits: Limits, acute_fields: int) -> _Said:
    acute = [(p, key) for key, p in running.items() if key in limits.acute]
    p_acute = _share(running, limits.acute) or 0.0
    if acute and p_acute >= limits.t_acute:
        largest, key = max(acute)
        lineage = key if largest >= LINEAGE_SHARE * p_acute - 1e-9 else ACUTE_UNCERTAIN
        return _Said(lineage, Urgency.SUSPECTED_ACUTE)
    if acute_fields >= ACUTE_FIELDS_NEEDED:
        return _Said(CANNOT_SAY, Urgency.CANNOT_SAY, Reason.FIELDS_DISAGREE.value)
    chronic = [(p, key) for key, p in running.items() if key in limits.chronic]
    if chronic and (_share(running, limits.chronic) or 0.0) >= limits.t_chronic:
        return _Said(max(chronic)[1], Urgency.SUSPECTED_CHRONIC)
    leukemia = {*limits.acute, *limits.chronic}
    none = [(p, key) for key, p in running.items() if key not in leukemia]
    highest = max(running.values())
    if highest < limits.abstention or not none or max(none)[0] < highest:
        return _Said(CANNOT_SAY, Urgency.CANNOT_SAY, Reason.LOW_CONFIDENCE.value)
    return _Said(max(none)[1], Urgency.NO_LEUKEMIA_PATTERN)


def log_posterior(
    fields: Sequence[Mapping[str, float]], prior: Mapping[str, float], field_weight: float
) -> dict[str, float]:
    """Log probabilities by class key, normalised; `prior` has every class of the fields."""
    sums = {
        key: math.log(share)
        + field_weight
        * math.fsum(math.log(max(p.get(key, 0.0), LEAST_P)) - math.log(share) for p in fields)
        for key, share in prior.items()
    }
    highest = max(sums.values())
    total = highest + math.log(math.fsum(math.exp(value - highest) for value in sums.values()))
    return {key: value - total for key, value in sums.items()}


def prior_of(keys: Sequence[str], settings: CaseSettings) -> dict[str, float]:
    """The configured shares of these classes, or equal ones where not all are configured."""
    if keys and all(key in settings.prior for key in keys):
        total = math.fsum(settings.prior[key] for key in keys)
        return {key: settings.prior[key] / total for key in keys}
    return {key: 1 / len(keys) for key in keys}


def _posterior(fields: Sequence[FieldResult], settings: CaseSettings) -> dict[str, float]:
    told = [field.probabilities for field in fields if field.probabilities is not None]
    keys = list(told[0])
    found = log_posterior(told, prior_of(keys, settings), settings.field_weight)
    return {key: round(math.exp(value), DECIMALS) for key, value in found.items()}


def _summable(judged: Sequence[FieldResult]) -> tuple[list[FieldResult], Limits | None]:
    """The fields of the bundle that most have (of several the one met last), and its limits."""
    by_bundle: dict[str, list[FieldResult]] = {}
    for field in judged:
        if field.probabilities and field.limits is not None:
            by_bundle.setdefault(field.bundle, []).append(field)
    if not by_bundle:
        return [], None
    _, fields = max(enumerate(by_bundle.values()), key=lambda item: (len(item[1]), item[0]))
    return fields, fields[-1].limits


def _share(posterior: Mapping[str, float] | None, keys: Sequence[str]) -> float | None:
    if posterior is None:
        return None
    return min(1.0, round(math.fsum(p for key, p in posterior.items() if key in keys), DECIMALS))


def _suspicion(field: FieldResult) -> tuple[int, float]:
    """The most urgent first; of those the one whose leukemia classes hold most."""
    p = field.probabilities or {}
    limits = field.limits
    held = 0.0 if limits is None else math.fsum(p.get(k, 0.0) for k in limits.acute)
    chronic = 0.0 if limits is None else math.fsum(p.get(k, 0.0) for k in limits.chronic)
    return URGENCY_RANK[field.urgency], -(held + 0.5 * chronic)
