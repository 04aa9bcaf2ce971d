"""Shows images and their outcomes to people, a few lines each; it reads nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from dashboard.outcomes import OutcomeRow
from dashboard.words import printable, probability_words, urgency_mark, with_warning
from wire_protocol.words import RESEARCH_USE_ONLY

#: "diagnosed" is a word of the wire; a draft that nobody signed is no such thing to a person.
_OUTCOME_WORDS = {"diagnosed": "draft"}


def outcome_lines(rows: Sequence[OutcomeRow]) -> Iterator[RenderableType]:
    """Device, seq, image and urgency of each image, below it what was said, in the order given."""
    for row in rows:
        head = Text(f"{row.site}/{row.device} seq {row.seq} image {row.image_id[-6:]} ")
        head.append(f"{_OUTCOME_WORDS.get(row.outcome, row.outcome)} ", style="bold")
        head.append_text(urgency_mark(row.urgency))
        yield head
        words = [with_warning(row.text), probability_words(row.probabilities), row.bundle]
        yield Padding(Text(printable("  ".join(word for word in words if word))), (0, 0, 0, 4))
    yield Text(f"{len(rows)} images. {RESEARCH_USE_ONLY}")
