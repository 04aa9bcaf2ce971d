"""The sentences a hematologist reads; they never say more than the decision, nor a forbidden word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cloud_worker.diagnosis import Decision
from cloud_worker.models.card import ClassCard
from wire_protocol.json_messages import ACUTE_UNCERTAIN, Urgency
from wire_protocol.manifest import UNFILED, OverrideReason
from wire_protocol.words import NOT_REVIEWED, RESEARCH_USE_ONLY_BRIEF, override_words, percent

LONGEST_TEXT = 400
PREVIEW_WORDS = "PREVIEW of a small copy, the image follows. "


def message_text(
    decision: Decision,
    classes: Sequence[ClassCard],
    *,
    case_id: str,
    white_cells: int | None,
    synthetic: bool,
    gate_override: bool = False,
    override_reason: OverrideReason | Literal[""] = "",
    is_preview: bool = False,
) -> str:
    """Finding, where it was seen, how far to trust it; at most 400 characters."""
    where = "Unfiled field" if case_id == UNFILED else f"Field of case {case_id}"
    if white_cells is not None:
        where += f", {count_words(white_cells)}"
    tail = f" {where}."
    if gate_override:
        tail += f" {override_words(override_reason)}"
    tail += f" {NOT_REVIEWED}"
    if synthetic:
        tail += " Synthetic-trained."
    tail += f" {RESEARCH_USE_ONLY_BRIEF}"
    finding = finding_words(decision, classes, white_cells=white_cells)
    if is_preview:
        finding = PREVIEW_WORDS + finding
    if len(finding) + len(tail) > LONGEST_TEXT:
        finding = finding[: LONGEST_TEXT - len(tail) - 4] + " ..."
    return finding + tail


def finding_words(
    decision: Decision, classes: Sequence[ClassCard], *, white_cells: int | None = None
) -> str:
    """The finding alone, one or two sentences."""
    display = next((c.display for c in classes if c.key == decision.result), "")
    if decision.urgency is Urgency.SUSPECTED_ACUTE:
        lineage = (
            "lineage uncertain" if decision.result == ACUTE_UNCERTAIN else f"most like {display}"
        )
        return f"URGENT: acute leukemia suspected ({percent(decision.p_acute)}), {lineage}."
    if decision.urgency is Urgency.SUSPECTED_CHRONIC:
        return f"Chronic leukemia suspected ({percent(decision.p_chronic)}), most like {display}."
    if decision.urgency is Urgency.NO_LEUKEMIA_PATTERN:
        seen_in = "this field" if white_cells is None else count_words(white_cells)
        return f"No leukemia pattern seen in {seen_in}; does not exclude leukemia."
    return f"Cannot say: {decision.words}"


def count_words(white_cells: int) -> str:
    """ "1 white cell", "7 white cells"."""
    return f"{white_cells} white cell" + ("" if white_cells == 1 else "s")
