"""Draws the watch list: a live table at a terminal, one line per result elsewhere; it decides nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dashboard.watch_list import Entry, WatchList
from dashboard.words import (
    age_words,
    printable,
    probability_words,
    urgency_mark,
    urgency_word,
    with_override,
    with_warning,
)
from wire_protocol.json_messages import Refile
from wire_protocol.manifest import UNFILED
from wire_protocol.words import RESEARCH_USE_ONLY

#: Narrower terminals show no case, device and probabilities; the text says what matters.
WIDE = 110


@dataclass(frozen=True, slots=True)
class Drawn:
    """A screen, and the entries that stand on it whole; the others are counted in its last line."""

    picture: RenderableType
    entries: tuple[Entry, ...]


def age_s(entry: Entry, now_s: float, wall: datetime) -> float:
    """Seconds since the capture as its device's clock says, or since it came where that is absurd."""
    since_it_came = now_s - entry.came_s
    try:
        captured = datetime.fromisoformat(entry.message.captured_at)
    except ValueError:
        return since_it_came
    if captured.tzinfo is None:
        captured = captured.replace(tzinfo=UTC)
    # A device without a clock may think it is 1970, or tomorrow.
    since_captured = (wall - captured).total_seconds()
    return since_captured if since_it_came <= since_captured < 7 * 86_400 else since_it_came


def said(entry: Entry) -> str:
    """The message's own words, and what they leave out: that the gate was overridden, or that the
    field was moved to another case since."""
    message = entry.message
    text = message.text
    if message.gate_override:
        text = with_override(text, message.override_reason)
    if entry.moved_to in ("", message.case_id):
        return text
    return f"MOVED to {_case_words(entry.moved_to)}, it is not of {_case_words(message.case_id)}. {text}"


def _case_words(case_id: str) -> str:
    return "no case" if case_id == UNFILED else f"case {case_id}"


def plain_line(entry: Entry) -> str:
    """Everything of a result in one line of text."""
    message = entry.message
    parts = [
        message.captured_at,
        urgency_word(message.urgency.value),
        f"{entry.site}/{entry.device}",
        f"case {entry.moved_to or message.case_id}",
        f"image {message.image_id[-6:]}",
        message.status.value,
        with_warning(said(entry)),
    ]
    words = probability_words(message.probabilities())
    if words:
        parts.append(f"[{words}]")
    parts.append(message.model)
    return printable("  ".join(parts))


def moved_line(refile: Refile) -> str:
    """A change of case in one line of text."""
    return (
        f"{refile.refiled_at}  {refile.site}/{refile.device}  image {refile.image_id[-6:]}  "
        f"MOVED from {_case_words(refile.from_case)} to {_case_words(refile.to_case)} "
        f"by {refile.operator}"
    )


def screen(
    watched: WatchList, link: str, now_s: float, wall: datetime, *, width: int, height: int
) -> Drawn:
    """The whole screen: the warning and the totals first, so that nothing can push them off."""
    head = _head(watched, link)
    entries = watched.in_order()
    if not entries:
        return Drawn(Group(head, Text("Waiting for diagnoses. Ctrl-C ends.", style="dim")), ())

    def picture(count: int) -> Group:
        parts: list[RenderableType] = [head]
        if count:
            parts.append(_table(entries[:count], now_s, wall, is_wide=width >= WIDE))
        rest = entries[count:]
        if rest or watched.made_room:
            parts.append(_below(watched, rest))
        return Group(*parts)

    # A row takes one line or more, so how many rows fit is measured.
    measure = Console(file=StringIO(), width=width, height=height, color_system=None)

    def lines(count: int) -> int:
        return len(measure.render_lines(picture(count), pad=False))

    count = bisect_right(range(1, min(len(entries), height) + 1), height, key=lines)
    return Drawn(picture(count), tuple(entries[:count]))


def _head(watched: WatchList, link: str) -> Text:
    head = Text()
    head.append(f" {RESEARCH_USE_ONLY} ", style="bold black on white")
    head.append(f"  {watched.total} results")
    for urgency, count in watched.counts():
        head.append("   ")
        head.append(f"{urgency_word(urgency)} {count}")
    head.append(f"   {link}", style="dim")
    return head


def _table(entries: Sequence[Entry], now_s: float, wall: datetime, *, is_wide: bool) -> Table:
    table = Table(expand=True, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("urgency", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("case", no_wrap=True)
        table.add_column("device", no_wrap=True)
    table.add_column("image", no_wrap=True)
    table.add_column("what it says", ratio=3)
    if is_wide:
        table.add_column("probabilities", ratio=1)
    for entry in entries:
        message = entry.message
        text = Text(printable(said(entry)))
        if entry.is_preview:
            text = Text("PREVIEW. ", style="italic") + text
        probabilities = Text(printable(probability_words(message.probabilities())))
        table.add_row(
            urgency_mark(message.urgency.value),
            age_words(age_s(entry, now_s, wall)),
            *((entry.moved_to or message.case_id, entry.device) if is_wide else ()),
            message.image_id[-6:],
            text,
            *((probabilities,) if is_wide else ()),
        )
    return table


def _below(watched: WatchList, rest: Sequence[Entry]) -> Text:
    """What the screen does not show, and how much of it was never shown."""
    unseen = watched.unseen(rest)
    words = []
    if rest:
        words.append(
            f"... {len(rest)} more below" + (f", {unseen} not shown yet" if unseen else "")
        )
    if watched.made_room:
        never = f", {watched.made_room_unseen} never shown" if watched.made_room_unseen else ""
        words.append(f"{watched.made_room} left the list{never}")
    return Text("; ".join(words), style="bold" if unseen else "dim")
