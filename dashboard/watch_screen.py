"""Draws the watch list: a live table at a terminal, one line per result elsewhere; it decides nothing.

A result is on the screen milliseconds after it came: each row is laid out once, and only its age is
written anew (`dashboard.watch_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from dashboard.watch_list import Entry, WatchList
from dashboard.watch_rows import Columns, Row, header, lay_out, wrapped
from dashboard.words import (
    age_words,
    printable,
    probability_words,
    urgency_word,
    with_override,
    with_warning,
)
from wire_protocol.json_messages import Refile
from wire_protocol.manifest import UNFILED
from wire_protocol.words import RESEARCH_USE_ONLY

#: Rows that stay laid out: more than a screen has.
_KEPT_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Drawn:
    """A screen, and the entries that stand on it whole; the others are counted in its last line."""

    lines: tuple[tuple[Segment, ...], ...]
    entries: tuple[Entry, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line
            yield Segment.line()


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


class WatchScreen:
    """Lays screens out, remembering the rows of the one before."""

    def __init__(self) -> None:
        self._columns: Columns | None = None
        self._rows: dict[tuple[int, str], Row] = {}

    def draw(
        self, watched: WatchList, link: str, now_s: float, wall: datetime, size: tuple[int, int]
    ) -> Drawn:
        """The whole screen of that many columns and lines.

        The warning and the totals come first, so that nothing can push them off.
        """
        width, height = size
        top = wrapped(_head(watched, link), width)
        entries = watched.in_order()
        if not entries:
            top += wrapped(Text("Waiting for diagnoses. Ctrl-C ends.", style="dim"), width)
            return Drawn(tuple(top), ())
        columns = Columns.of(width, entries[:height])
        top.append(header(columns))
        rows: list[tuple[Segment, ...]] = []
        ends = [0]
        for entry in entries:
            row = self._row(entry, columns)
            rows += row.lines(age_words(age_s(entry, now_s, wall)))
            ends.append(len(rows))
            if len(top) + len(rows) >= height:
                break
        for count in range(len(ends) - 1, -1, -1):
            rest = entries[count:]
            below = wrapped(_below(watched, rest), width) if rest or watched.made_room else []
            if len(top) + ends[count] + len(below) <= height or count == 0:
                break
        if count == 0:
            top.pop()  # no row, no header
        return Drawn((*top, *rows[: ends[count]], *below), tuple(entries[:count]))

    def _row(self, entry: Entry, columns: Columns) -> Row:
        if columns != self._columns or len(self._rows) > _KEPT_ROWS:
            self._columns = columns
            self._rows.clear()
        key = (entry.number, entry.moved_to)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = lay_out(entry, said(entry), columns)
        return row


def _head(watched: WatchList, link: str) -> Text:
    head = Text()
    head.append(f" {RESEARCH_USE_ONLY} ", style="bold black on white")
    head.append(f"  {watched.total} results")
    for urgency, count in watched.counts():
        head.append("   ")
        head.append(f"{urgency_word(urgency)} {count}")
    if watched.previews:
        head.append(f"   {watched.previews} previews", style="italic")
    head.append(f"   {link}", style="dim")
    return head


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
