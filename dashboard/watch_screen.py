"""Draws the watch list: a live table at a terminal, one line per result elsewhere; it decides nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dashboard.watch_list import Entry, WatchList
from dashboard.words import (
    age_words,
    printable,
    probability_words,
    urgency_mark,
    urgency_word,
    with_warning,
)
from wire_protocol.words import RESEARCH_USE_ONLY

#: Narrower terminals show no case, device and probabilities; the text says what matters.
WIDE = 110


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


def plain_line(entry: Entry) -> str:
    """Everything of a result in one line of text."""
    message = entry.message
    parts = [
        message.captured_at,
        urgency_word(message.urgency.value),
        f"{entry.site}/{entry.device}",
        f"case {message.case_id}",
        f"image {message.image_id[-6:]}",
        message.status.value,
        with_warning(message.text),
    ]
    words = probability_words(message.probabilities())
    if words:
        parts.append(f"[{words}]")
    parts.append(message.model)
    return printable("  ".join(parts))


def screen(
    watched: WatchList, link: str, now_s: float, wall: datetime, *, width: int, height: int
) -> RenderableType:
    """The whole screen: the warning and the totals first, so that nothing can push them off."""
    head = Text()
    head.append(f" {RESEARCH_USE_ONLY} ", style="bold black on white")
    head.append(f"  {watched.total} results")
    for urgency, count in watched.counts():
        head.append("   ")
        head.append(f"{urgency_word(urgency)} {count}")
    head.append(f"   {link}", style="dim")
    entries = watched.in_order()
    if not entries:
        return Group(head, Text("Waiting for diagnoses. Ctrl-C ends.", style="dim"))
    is_wide = width >= WIDE
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
    # Rows take one line or more: what lies below the screen is only counted.
    for entry in entries[:height]:
        message = entry.message
        text = Text(printable(message.text))
        if entry.is_preview:
            text = Text("PREVIEW. ", style="italic") + text
        probabilities = Text(printable(probability_words(message.probabilities())))
        table.add_row(
            urgency_mark(message.urgency.value),
            age_words(age_s(entry, now_s, wall)),
            *((message.case_id, entry.device) if is_wide else ()),
            message.image_id[-6:],
            text,
            *((probabilities,) if is_wide else ()),
        )
    return Group(head, table)
