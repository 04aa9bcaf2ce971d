"""Shows images and their outcomes to people, a few lines each; it reads nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from dashboard.identity import Verdict
from dashboard.outcomes import AsideRow, OutcomeRow
from dashboard.refiles import RefileFact
from dashboard.words import printable, probability_words, urgency_mark, with_warning
from wire_protocol.manifest import UNFILED
from wire_protocol.words import RESEARCH_USE_ONLY

#: "diagnosed" is a word of the wire; a draft that nobody signed is no such thing to a person.
_OUTCOME_WORDS = {"diagnosed": "draft"}
_VERDICT_WORDS = {
    Verdict.CONFLICT_IMAGE.value: "the image id belongs to other bytes or another place",
    Verdict.CONFLICT_SEQ.value: "its place in the outbox belongs to another image",
    Verdict.BLOB_MISSING.value: "its bytes are not in the archive",
}


def outcome_lines(rows: Sequence[OutcomeRow]) -> Iterator[RenderableType]:
    """Device, seq, image and urgency of each image, below it what was said, in the order given."""
    for row in rows:
        head = Text(f"{row.site}/{row.device} seq {row.seq} image {row.image_id[-6:]} ")
        head.append(f"{'unfiled' if row.case_id == UNFILED else f'case {row.case_id}'} ")
        head.append(f"{_OUTCOME_WORDS.get(row.outcome, row.outcome)} ", style="bold")
        head.append_text(urgency_mark(row.urgency))
        yield head
        words = [with_warning(row.text), probability_words(row.probabilities), row.bundle]
        yield Padding(Text(printable("  ".join(word for word in words if word))), (0, 0, 0, 4))
    yield Text(f"{len(rows)} images. {RESEARCH_USE_ONLY}")


def refile_lines(rows: Sequence[RefileFact]) -> Iterator[RenderableType]:
    """Who moved which image from which case to which; nothing where nothing was moved."""
    for row in rows:
        line = Text("moved ", style="bold")
        line.append(f"{row.site}/{row.device} image {row.image_id[-6:]}: ")
        line.append(f"{row.from_case} to {row.to_case} by {row.operator}, {row.refiled_at}")
        if row.is_conflict:
            line.append(" (not applied: the image belongs to another outbox)", style="bold")
        elif row.is_pending:
            line.append(" (its image is not recorded yet)")
        yield line


def set_aside_lines(rows: Sequence[AsideRow]) -> Iterator[RenderableType]:
    """Reports that contradict what is recorded, or whose blob is missing; nothing where none is."""
    for row in rows:
        line = Text("set aside ", style="bold")
        line.append(f"{row.site}/{row.device} seq {row.seq} image {row.image_id[-6:]}: ")
        line.append(_VERDICT_WORDS.get(row.verdict, row.verdict))
        line.append(f" ({row.times} times, last {row.last_at})")
        yield line
    if rows:
        yield Text(f"{len(rows)} reports set aside.", style="bold")
