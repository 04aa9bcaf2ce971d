"""What the gate says of a capture's scores, in words with the next step; it measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_device.gate.scores import Scores
from edge_device.gate.settings import GateSettings
from edge_device.outbox.rows import Refusal
from wire_protocol.json_messages import Reason


class WarningKind(StrEnum):
    """What an operator is warned of while the picture travels all the same."""

    NO_WHITE_CELLS = "no_white_cells"
    DEBRIS = "debris"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class GateWarning:
    """Why a picture that travels deserves a second look, in words for the operator."""

    kind: WarningKind
    text: str
    score: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The refusal, if any, and the warnings beside it."""

    refusal: Refusal | None
    warnings: tuple[GateWarning, ...] = ()


def judge(scores: Scores, limits: GateSettings) -> Verdict:
    """The first limit that is missed refuses; what is only suspicious warns."""
    refusal, warnings = _refusal(scores, limits), []
    if scores.nucleus_um2 < limits.min_nucleus_um2 and refusal is None:
        if limits.white_cells == "refuse" and scores.um_per_px is not None:
            refusal = _no_white_cells(scores, limits)
        elif limits.white_cells != "off":
            warnings.append(_perhaps_no_white_cells(scores, limits))
    if scores.debris_um2 > limits.max_debris_um2:
        warnings.append(_debris(scores, limits))
    return Verdict(refusal, tuple(warnings))


def _refusal(scores: Scores, limits: GateSettings) -> Refusal | None:
    s, g = scores, limits
    if s.white_level < g.min_white_level:
        return Refusal(
            Reason.EXPOSURE,
            f"Too dark: white level {s.white_level:.0f}, at least {g.min_white_level:.0f} needed."
            " Raise the lamp or the exposure and take again.",
            s.white_level,
            g.min_white_level,
        )
    if s.clipped_white_percent > g.max_clipped_white_percent:
        return _clipped("Too bright", "white", s.clipped_white_percent, g.max_clipped_white_percent)
    if s.clipped_black_percent > g.max_clipped_black_percent:
        return _clipped("Too dark", "black", s.clipped_black_percent, g.max_clipped_black_percent)
    if s.contrast < g.min_contrast:
        return Refusal(
            Reason.EMPTY_FIELD,
            f"No cells here: contrast {s.contrast:.1f}, at least {g.min_contrast:.1f} needed."
            " Move to a field with cells and take again.",
            s.contrast,
            g.min_contrast,
        )
    if s.focus < g.min_focus:
        return Refusal(
            Reason.FOCUS,
            f"Out of focus: score {s.focus:.1f}, at least {g.min_focus:.1f} needed."
            " Refocus and take again.",
            s.focus,
            g.min_focus,
        )
    return None


def _no_white_cells(scores: Scores, limits: GateSettings) -> Refusal:
    return Refusal(
        Reason.TOO_FEW_WHITE_CELLS,
        "No white cell in view: the largest nucleus-like area is"
        f" {scores.nucleus_um2:.0f} um2, at least {limits.min_nucleus_um2:.0f} needed."
        " Move to a field with white cells and take again.",
        scores.nucleus_um2,
        limits.min_nucleus_um2,
    )


def _perhaps_no_white_cells(scores: Scores, limits: GateSettings) -> GateWarning:
    unsure = "" if scores.um_per_px is not None else " The scale is unknown, so this may be wrong."
    return GateWarning(
        WarningKind.NO_WHITE_CELLS,
        f"No white cell seen. Look for a field with white cells.{unsure}",
        scores.nucleus_um2,
        limits.min_nucleus_um2,
    )


def _debris(scores: Scores, limits: GateSettings) -> GateWarning:
    return GateWarning(
        WarningKind.DEBRIS,
        f"Dirt or a bubble: a dark area of {scores.debris_um2:.0f} um2 that is no cell,"
        f" more than {limits.max_debris_um2:.0f}. Clean the slide or move on.",
        scores.debris_um2,
        limits.max_debris_um2,
    )


def _clipped(what: str, colour: str, score: float, limit: float) -> Refusal:
    step = "Lower" if colour == "white" else "Raise"
    return Refusal(
        Reason.EXPOSURE,
        f"{what}: {score:.0f} % of the field is plain {colour}, at most {limit:.0f} % allowed."
        f" {step} the lamp or the exposure and take again.",
        score,
        limit,
    )
