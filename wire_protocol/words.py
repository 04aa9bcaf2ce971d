"""The few words that every screen and message shares, so that none says more than another; pure."""

from __future__ import annotations

from typing import Final

from wire_protocol.manifest import OverrideReason

RESEARCH_USE_ONLY: Final = "Research use only, not for diagnosis."
#: The end of a message's own text, which has to fit a phone.
RESEARCH_USE_ONLY_BRIEF: Final = "Research use only."

#: Of what no person has signed.
NOT_REVIEWED: Final = "AI draft, not reviewed."

GATE_OVERRIDDEN: Final = "Sent although the quality gate said no"
OVERRIDE_WORDS: Final[dict[OverrideReason, str]] = {
    OverrideReason.ONLY_FIELD: "the only field there is",
    OverrideReason.URGENT: "urgent",
    OverrideReason.RARE_FINDING: "rare finding",
    OverrideReason.GATE_IS_WRONG: "the gate is wrong",
    OverrideReason.TEACHING: "for teaching",
}

#: Classes whose own name must never be read as a result of a person.
_CLASS_WORDS: Final[dict[str, str]] = {"healthy": "NO PATTERN"}


def percent(p: float | None) -> str:
    """A probability as people may see it: never more than ">99 %", never "0 %"."""
    if p is None:
        return "unknown"
    if p > 0.99:
        return ">99 %"
    if p < 0.01:
        return "<1 %"
    return f"{p * 100:.0f} %"


def override_words(reason: OverrideReason | str) -> str:
    """The sentence on an image that the gate would have rejected; what the gate saw is not known
    here, only that it was overridden and the operator's reason, where there is one."""
    if not reason:
        return f"{GATE_OVERRIDDEN}."
    return f"{GATE_OVERRIDDEN}; operator's reason: {OVERRIDE_WORDS[OverrideReason(reason)]}."


def class_word(key: str) -> str:
    """A class as people may see it: no result of a smear is "healthy"."""
    return _CLASS_WORDS.get(key.lower(), key.upper().replace("_", " "))


def figure_word(name: str) -> str:
    """The name of a card's figure; "recall_aml" is the recall of a class."""
    kind, _, key = name.partition("_")
    return f"recall {class_word(key)}" if kind == "recall" and key else name
