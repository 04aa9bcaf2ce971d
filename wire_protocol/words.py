"""The few words that every screen and message shares, so that none says more than another; pure."""

from __future__ import annotations

from typing import Final

RESEARCH_USE_ONLY: Final = "Research use only, not for diagnosis."
#: The end of a message's own text, which has to fit a phone.
RESEARCH_USE_ONLY_BRIEF: Final = "Research use only."

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


def class_word(key: str) -> str:
    """A class as people may see it: no result of a smear is "healthy"."""
    return _CLASS_WORDS.get(key.lower(), key.upper().replace("_", " "))


def figure_word(name: str) -> str:
    """The name of a card's figure; "recall_aml" is the recall of a class."""
    kind, _, key = name.partition("_")
    return f"recall {class_word(key)}" if kind == "recall" and key else name
