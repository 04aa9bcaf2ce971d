"""Lays one result out as lines of a terminal, once; its age is put in later, each time that it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from dashboard.watch_list import Entry
from dashboard.words import printable, probability_words, urgency_mark

#: Narrower terminals show no case, device and probabilities; the text says what matters.
WIDE: Final = 110
URGENCY, AGE, IMAGE, MOST_CASE, MOST_DEVICE = 23, 7, 6, 16, 24
#: A narrower column of text gets lines of its own below the row.
LEAST_TEXT: Final = 20
#: The columns that are always there, and their gaps.
NARROWEST: Final = URGENCY + AGE + IMAGE + 4
_GAP = Segment("  ")
#: Wraps and measures, and never writes.
_MEASURE: Final = Console(color_system=None, force_terminal=False)

Line = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The widths of one screen; 0 for a column that is not there."""

    width: int
    case: int
    device: int
    text: int
    probabilities: int

    @classmethod
    def of(cls, width: int, entries: Sequence[Entry]) -> Columns:
        """Wide enough for these entries' names."""
        narrow = width - URGENCY - AGE - IMAGE - 3 * len(_GAP.text)
        if width < WIDE:
            return cls(width, 0, 0, narrow if narrow >= LEAST_TEXT else 0, 0)
        case = min(
            MOST_CASE, max(len(entry.moved_to or entry.message.case_id) for entry in entries)
        )
        device = min(MOST_DEVICE, max(len(entry.device) for entry in entries))
        case, device = max(case, len("case")), max(device, len("device"))
        rest = narrow - case - device - 3 * len(_GAP.text)
        return cls(width, case, device, rest - rest // 4, rest // 4)


@dataclass(frozen=True, slots=True)
class Row:
    """A result's lines; the age stands in the first."""

    before_age: Line
    after_age: Line
    more: tuple[Line, ...]
    width: int

    def lines(self, age: str) -> tuple[Line, ...]:
        """The lines with this age."""
        first = (*self.before_age, Segment(f"{age:>{AGE}}"), *self.after_age)
        return (cut(first, self.width), *self.more)


def lay_out(entry: Entry, said: str, columns: Columns) -> Row:
    """The result in these columns."""
    message = entry.message
    text = Text(printable(said))
    if entry.is_preview:
        if not text.plain.startswith("PREVIEW"):  # whichever worker said it
            text = Text("PREVIEW. ") + text
        text.stylize("italic")
    mark = _cell(urgency_mark(message.urgency.value), URGENCY)
    names = [Text(message.image_id[-6:])]
    widths = [IMAGE]
    if columns.case:
        names = [Text(entry.moved_to or message.case_id), Text(entry.device), *names]
        widths = [columns.case, columns.device, *widths]
    first = [_cell(name, width) for name, width in zip(names, widths, strict=True)]
    blank = [(Segment(" " * width),) for width in (URGENCY, AGE, *widths)]
    if not columns.text:
        indent = Segment("    ")
        below = [
            (indent, *line) for line in wrapped(text, max(1, columns.width - len(indent.text)))
        ]
        return Row((*mark, _GAP), (_GAP, *_joined(first)), tuple(below), columns.width)
    told = wrapped(text, columns.text)
    if columns.probabilities:
        probabilities = Text(printable(probability_words(message.probabilities())))
        beside = wrapped(probabilities, columns.probabilities)
        lines = max(len(told), len(beside))
        told = [
            (*_nth(told, n, columns.text), _GAP, *_nth(beside, n, columns.probabilities))
            for n in range(lines)
        ]
    after = (_GAP, *_joined([*first, told[0]]))
    more = tuple(_joined([*blank, line]) for line in told[1:])
    return Row((*mark, _GAP), after, more, columns.width)


def header(columns: Columns) -> Line:
    """The columns' names."""
    named = [("urgency", URGENCY), ("age", AGE)]
    if columns.case:
        named += [("case", columns.case), ("device", columns.device)]
    named.append(("image", IMAGE))
    if columns.text:
        named.append(("what it says", columns.text))
    if columns.probabilities:
        named.append(("probabilities", columns.probabilities))
    cells = [
        _cell(Text(f"{name:>{AGE}}" if name == "age" else name), width) for name, width in named
    ]
    return cut(tuple(Segment.apply_style(_joined(cells), Style(dim=True))), columns.width)


def cut(line: Line, width: int) -> Line:
    """The line where it fits; the first columns of it on a terminal that is too narrow for them."""
    if width >= NARROWEST:
        return line
    return tuple(Segment.adjust_line_length(list(line), width, pad=False))


def wrapped(text: Text, width: int) -> list[Line]:
    """The text in as many lines as it needs, at least one, each exactly `width` cells wide."""
    lines = text.wrap(_MEASURE, width) or [Text("")]
    return [_cell(line, width) for line in lines]


def _cell(text: Text, width: int) -> Line:
    """One line of exactly `width` cells; what is too long ends with an ellipsis."""
    fitted = text.copy()
    fitted.truncate(width, overflow="ellipsis")
    fitted.end = ""
    segments = [part for part in fitted.render(_MEASURE) if part.text]
    return tuple(Segment.adjust_line_length(segments, width))


def _nth(lines: Sequence[Line], number: int, width: int) -> Line:
    return lines[number] if number < len(lines) else (Segment(" " * width),)


def _joined(cells: Iterable[Line]) -> Line:
    joined: list[Segment] = []
    for cell in cells:
        if joined:
            joined.append(_GAP)
        joined.extend(cell)
    return tuple(joined)
