"""The decision: calibrated probabilities and circumstances -> result, urgency, reason. Pure; no argmax.

The rules, in this order (the first that applies decides):

1. technical failure (focus, exposure, stain, empty field, decode, ...): cannot_say, urgency retake;
2. out of distribution, magnification, outside scope or too few white cells: cannot_say;
3. p_acute >= t_acute: suspected_acute, whatever class is largest; the result is the acute class that
   holds at least 80 % of p_acute, else acute_uncertain;
4. p_chronic >= t_chronic: suspected_chronic, the result is the larger chronic class;
5. largest probability below the abstention threshold, or largest on a class that means leukemia:
   cannot_say, low_confidence (the second half can only matter where a bundle's abstention threshold
   lies below t_acute or t_chronic; nobody is told "no leukemia pattern" over a larger leukemia class);
6. else no_leukemia_pattern, the result is the larger of those classes.

It decides on the rounded numbers that the message shows, so that no reader sees a contradiction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import ClassCard, Meaning, Thresholds
from cloud_worker.refusal import Refusal
from wire_protocol.json_messages import ACUTE_UNCERTAIN, CANNOT_SAY, Reason, Urgency

DECIMALS = 4
LINEAGE_SHARE = 0.8
WHITE_CELLS_NEEDED = 1
"""Of a field; a slide needs more. Without a white cell there is nothing to judge."""

TECHNICAL = frozenset(
    {
        Reason.FOCUS,
        Reason.EXPOSURE,
        Reason.STAIN,
        Reason.EMPTY_FIELD,
        Reason.DECODE,
        Reason.DAMAGED_ON_DEVICE,
        Reason.CRASHES_DECODER,
        Reason.INFERENCE_FAILED,
        Reason.TOO_LARGE,
    }
)
"""Reasons of rule 1: take the image again. All other refusals fall under rule 2."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one field before the decision."""

    probabilities: tuple[float, ...] | None = None
    """Calibrated, in the bundle's class order; None where the network did not run."""
    refusal: Refusal | None = None
    """Why the image cannot be judged, found before the network ran."""
    ood_distance: float | None = None
    ood_threshold: float | None = None
    ood_percentile: float | None = None
    white_cells: int | None = None
    """None where they were not counted; then no rule about counts applies."""
    white_cells_needed: int = WHITE_CELLS_NEEDED


@dataclass(frozen=True, slots=True)
class Decision:
    """What is said about one field."""

    rule: int
    """1 to 6, as in the module's list."""
    result: str
    """A class key, `acute_uncertain` or `cannot_say`."""
    urgency: Urgency
    reason: Reason | None
    words: str
    """For cannot_say: value, limit and next step."""
    probabilities: tuple[float, ...] | None
    """Rounded, in class order; None under rules 1 and 2."""
    p_acute: float | None
    p_chronic: float | None


def calibrated(logits: NDArray[np.floating], temperature: float) -> tuple[float, ...]:
    """Softmax of K logits divided by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return tuple(float(p) for p in powers / powers.sum())


def decide(seen: Evidence, classes: Sequence[ClassCard], limits: Thresholds) -> Decision:
    """Apply the rules to one field's evidence."""
    if seen.refusal is not None:
        technical = seen.refusal.reason in TECHNICAL
        urgency = Urgency.RETAKE if technical else Urgency.CANNOT_SAY
        return _cannot_say(1 if technical else 2, urgency, seen.refusal.reason, seen.refusal.text)
    if (
        seen.ood_distance is not None
        and seen.ood_threshold is not None
        and not seen.ood_distance <= seen.ood_threshold
    ):
        words = (
            f"distance from the training images {_above(seen.ood_distance, seen.ood_threshold)}, "
            f"at most {seen.ood_threshold:.3g} allowed. Check stain, focus and objective; "
            "have a person look."
        )
        return _cannot_say(2, Urgency.CANNOT_SAY, Reason.OUT_OF_DISTRIBUTION, words)
    few = too_few_white_cells(seen.white_cells, seen.white_cells_needed)
    if few is not None:
        return _cannot_say(2, Urgency.CANNOT_SAY, few.reason, few.text)
    if seen.probabilities is None or len(seen.probabilities) != len(classes):
        raise ValueError(f"need {len(classes)} probabilities or a refusal")
    return _decide_on_probabilities(seen.probabilities, classes, limits)


def too_few_white_cells(counted: int | None, needed: int = WHITE_CELLS_NEEDED) -> Refusal | None:
    """Why a count does not do, None where it does or where nobody counted."""
    if counted is None or counted >= needed:
        return None
    cells = "white cell" if counted == 1 else "white cells"
    return Refusal(
        Reason.TOO_FEW_WHITE_CELLS,
        f"{counted} {cells}, at least {needed} needed. Capture more fields.",
    )


def _decide_on_probabilities(
    exact: Sequence[float], classes: Sequence[ClassCard], limits: Thresholds
) -> Decision:
    shown = tuple(round(p, DECIMALS) for p in exact)
    by_meaning = {
        meaning: [(p, c.key) for p, c in zip(shown, classes, strict=True) if c.meaning is meaning]
        for meaning in Meaning
    }
    acute = by_meaning[Meaning.ACUTE]
    p_acute = min(1.0, round(sum(p for p, _ in acute), DECIMALS))
    chronic = by_meaning[Meaning.CHRONIC]
    p_chronic = min(1.0, round(sum(p for p, _ in chronic), DECIMALS))

    def say(
        rule: int, result: str, urgency: Urgency, reason: Reason | None = None, words: str = ""
    ) -> Decision:
        return Decision(rule, result, urgency, reason, words, shown, p_acute, p_chronic)

    if acute and p_acute >= limits.t_acute:
        largest, key = max(acute)
        lineage = key if largest >= LINEAGE_SHARE * p_acute - 1e-9 else ACUTE_UNCERTAIN
        return say(3, lineage, Urgency.SUSPECTED_ACUTE)
    if chronic and p_chronic >= limits.t_chronic:
        return say(4, max(chronic)[1], Urgency.SUSPECTED_CHRONIC)
    none = by_meaning[Meaning.NO_LEUKEMIA_PATTERN]
    best, key = max(none)
    highest = max(shown)
    if highest < limits.abstention:
        words = (
            f"largest probability {_percent(highest)} %, at least "
            f"{_percent(limits.abstention)} % needed. Capture more fields; have a person look."
        )
        return say(5, CANNOT_SAY, Urgency.CANNOT_SAY, Reason.LOW_CONFIDENCE, words)
    if best < highest:
        words = (
            f"a leukemia class is largest at {_percent(highest)} %, below its threshold. "
            "Capture more fields; have a person look."
        )
        return say(5, CANNOT_SAY, Urgency.CANNOT_SAY, Reason.LOW_CONFIDENCE, words)
    return say(6, key, Urgency.NO_LEUKEMIA_PATTERN)


def _cannot_say(rule: int, urgency: Urgency, reason: Reason, words: str) -> Decision:
    return Decision(rule, CANNOT_SAY, urgency, reason, words, None, None, None)


def _percent(p: float) -> str:
    """Rounded down to a tenth, so that a value never reads as equal to a limit it is below."""
    return f"{int(p * 1000 + 1e-6) / 10:g}"


def _above(value: float, limit: float) -> str:
    """Three digits, or as many as it takes to read as more than the limit."""
    for digits in range(3, 17):
        if float(f"{value:.{digits}g}") > float(f"{limit:.3g}"):
            return f"{value:.{digits}g}"
    return f"{value!r}"
