"""The sentence about a case; it never says more than the result, nor a forbidden word. Pure."""

from __future__ import annotations

from dashboard.cases.combine import CaseResult
from dashboard.cases.settings import CaseSettings
from wire_protocol.json_messages import ACUTE_UNCERTAIN, Reason, Urgency
from wire_protocol.words import NOT_REVIEWED, RESEARCH_USE_ONLY_BRIEF, class_word, percent

LONGEST_TEXT = 400

_NEXT_STEPS = {
    Reason.FIELDS_DISAGREE.value: "its fields disagree. Have a person look at each of them.",
    Reason.LOW_CONFIDENCE.value: "no class is probable enough. Capture more fields; "
    "have a person look.",
    Reason.OUT_OF_DISTRIBUTION.value: "its fields are unlike the training images. Check stain, "
    "focus and objective; have a person look.",
    Reason.MAGNIFICATION.value: "the magnification is unknown or wrong. Check the objective and "
    "its calibration.",
}


def case_text(result: CaseResult, case_id: str, *, synthetic: bool, settings: CaseSettings) -> str:
    """Finding, what it rests on, how far to trust it; at most 400 characters."""
    finding = finding_words(result, settings)
    seen = seen_words(result)
    words = [finding, f"Case {case_id}." if seen in finding else f"Case {case_id}, {seen}."]
    if result.is_preview:
        words.insert(0, "PREVIEW, the whole picture is still to come.")
    if result.acute_fields and result.urgency is not Urgency.SUSPECTED_ACUTE:
        words.append(
            f"Acute leukemia is suspected in {result.acute_fields} of {_fields(result.fields)}."
        )
    words.append(NOT_REVIEWED)
    if synthetic:
        words.append("Synthetic-trained.")
    return f"{' '.join(words)[: LONGEST_TEXT - 20]} {RESEARCH_USE_ONLY_BRIEF}"


def finding_words(result: CaseResult, settings: CaseSettings) -> str:
    """The finding alone."""
    if result.urgency is Urgency.SUSPECTED_ACUTE:
        is_open = result.result == ACUTE_UNCERTAIN
        lineage = "lineage uncertain" if is_open else f"most like {class_word(result.result)}"
        share = "" if result.p_acute is None else f" ({percent(result.p_acute)})"
        return f"URGENT: acute leukemia suspected{share}, {lineage}."
    if result.urgency is Urgency.SUSPECTED_CHRONIC:
        share = "" if result.p_chronic is None else f" ({percent(result.p_chronic)})"
        return f"Chronic leukemia suspected{share}, most like {class_word(result.result)}."
    if result.urgency is Urgency.NO_LEUKEMIA_PATTERN:
        return f"No leukemia pattern seen in {seen_words(result)}; does not exclude leukemia."
    if result.urgency is Urgency.RETAKE:
        retakes = "its field" if result.retakes == 1 else f"all {result.retakes} fields"
        return f"Take again: {retakes} could not be judged ({_reason_words(result.reason)})."
    if result.reason == Reason.TOO_FEW_WHITE_CELLS.value and result.white_cells is not None:
        return (
            f"Cannot say: {_cells(result.white_cells)}, at least {settings.white_cells_needed} "
            "needed. Capture more fields."
        )
    return f"Cannot say: {_NEXT_STEPS.get(result.reason, _reason_words(result.reason) + '.')}"


def seen_words(result: CaseResult) -> str:
    """ "61 white cells in 3 fields", or only the fields where cells were not counted."""
    fields = _fields(result.fields)
    if result.is_preview:
        fields = f"{result.previews} small preview" + ("" if result.previews == 1 else "s")
    return fields if result.white_cells is None else f"{_cells(result.white_cells)} in {fields}"


def _fields(count: int) -> str:
    return f"{count} field" + ("" if count == 1 else "s")


def _cells(count: int) -> str:
    return f"{count} white cell" + ("" if count == 1 else "s")


def _reason_words(reason: str) -> str:
    return reason.replace("_", " ") or "no reason told"
