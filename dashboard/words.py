"""The words, shapes and colours in which a result is shown; never certainty, never without its warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from wire_protocol.json_messages import Urgency
from wire_protocol.manifest import OverrideReason
from wire_protocol.words import (
    GATE_OVERRIDDEN,
    RESEARCH_USE_ONLY,
    class_word,
    override_words,
    percent,
)

#: Word, shape and colour of each urgency: no one of them alone carries the meaning.
_MARKS: Final[dict[str, tuple[str, str, str]]] = {
    Urgency.SUSPECTED_ACUTE.value: ("ACUTE SUSPECTED", "▲", "bold white on red"),
    Urgency.CANNOT_SAY.value: ("CANNOT SAY", "◆", "bold black on yellow"),
    Urgency.SUSPECTED_CHRONIC.value: ("CHRONIC SUSPECTED", "■", "bold magenta"),
    Urgency.NO_LEUKEMIA_PATTERN.value: ("NO LEUKEMIA PATTERN", "●", "cyan"),
    Urgency.RETAKE.value: ("TAKE AGAIN", "↻", "bold blue"),
}


def urgency_word(urgency: str) -> str:
    """Shape and word without colour."""
    word, shape, _ = _MARKS.get(urgency, (urgency, "?", ""))
    return f"{shape} {word}"


def urgency_mark(urgency: str) -> Text:
    """Shape and word in its colour."""
    style = _MARKS.get(urgency, ("", "", "bold"))[2]
    return Text(f" {urgency_word(urgency)} ", style=style, no_wrap=True)


def probability_words(probabilities: Mapping[str, float | None], most: int = 5) -> str:
    """The classes from the most to the least probable; empty where there are none to show."""
    known = [(name, value) for name, value in probabilities.items() if value is not None]
    known.sort(key=lambda item: (-item[1], item[0]))
    return "  ".join(f"{class_word(name)} {percent(value)}" for name, value in known[:most])


def age_words(seconds: float) -> str:
    """How long ago, short."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86_400} d"


def printable(text: str) -> str:
    """Without control characters: a message must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def with_override(text: str, reason: OverrideReason | str) -> str:
    """The text of a field that the gate would have rejected, which says so, once."""
    return text if GATE_OVERRIDDEN in text else f"{text} {override_words(reason)}"


def with_warning(text: str) -> str:
    """The text with the research-use warning, once."""
    return text if "research use only" in text.lower() else f"{text} {RESEARCH_USE_ONLY}"
