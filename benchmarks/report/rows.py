"""Named bars on one axis: medians as bars, p95 as whiskers, clock errors as frames, limits as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.figure_text import ms_text
from service_runtime.report_page.drawing import WIDE, box, line, text, text_px, tick_text, x_axis
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale

_TOP, _BOTTOM = 30.0, 44.0
_WIDE_ROW, _NARROW_ROW = 25.0, 38.0


@dataclass(frozen=True, slots=True)
class Row:
    """A bar from `start` over `length`."""

    name: str
    length: float
    kind: str
    start: float = 0.0
    #: Where its whisker ends, counted from `start`; None draws none.
    whisker: float | None = None
    error: float = 0.0
    #: Of the whole: drawn stronger, with room above.
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A line over all rows."""

    at: float
    words: str


def draw_rows(
    svg: Element, width: int, rows: Sequence[Row], unit: str, marks: Sequence[Mark] = ()
) -> float:
    """All rows into `svg`; the height it took."""
    is_wide = width == WIDE
    labels = max((text_px(row.name) * (1.12 if row.is_whole else 1) for row in rows), default=0.0)
    left = labels + 16 if is_wide else 2.0
    right = width - 136.0 if is_wide else width - 6.0
    row_px = _WIDE_ROW if is_wide else _NARROW_ROW
    top = _TOP + 18.0 * len(marks)
    gap = 8.0 if any(row.is_whole for row in rows) else 0.0
    bottom = top + row_px * len(rows) + gap
    highest = max(
        [row.start + max(row.length, row.whisker or 0.0) + row.error for row in rows]
        + [mark.at for mark in marks],
        default=1.0,
    )
    scale = Scale(0.0, (highest or 1.0) * 1.02, left, right)
    x_axis(svg, scale, top - 6, bottom, unit)
    if is_wide:
        heads = ["p50", "p95"] if any(row.whisker is not None for row in rows) else [unit]
        ends = (right + 68, width - 2.0)
        add(
            svg,
            *(text(x, top - 14, head, "head", "end") for x, head in zip(ends, heads, strict=False)),
        )
    y = top
    texts = []
    for row in rows:
        y += gap if row.is_whole else 0
        texts.append(_draw_row(svg, width, row, scale, y))
        y += row_px
    for number, mark in enumerate(marks):
        x = scale.at(mark.at)
        up = 16.0 + 18.0 * number
        add(svg, line(x, up - 10, x, bottom, "limit"))
        begins = max(2.0, min(x + 6, width - 1.05 * text_px(mark.words)))
        texts.append(text(begins, up, mark.words, "limit-text"))
    add(svg, *texts)  # last, so that no line runs through a figure
    return bottom + _BOTTOM


def _draw_row(svg: Element, width: int, row: Row, scale: Scale, y: float) -> Element:
    """Draws the bar; its name and figures are for the caller to add above everything else."""
    is_wide = width == WIDE
    bar_y, bar_px = (y + 4, 15.0) if is_wide else (y + 18, 12.0)
    start = scale.at(row.start)
    end = scale.at(row.start + row.length)
    group = tag("g")
    texts = tag("g", class_="row whole" if row.is_whole else "row")
    value, tail = _figure(row.length), "" if row.whisker is None else _figure(row.whisker)
    if is_wide:
        add(texts, text(scale.start_px - 12, bar_y + 12, row.name, "name", "end"))
        add(texts, text(scale.end_px + 68, bar_y + 12, value, "value", "end"))
        add(texts, text(width - 2, bar_y + 12, tail, "quiet", "end"))
    else:
        add(texts, text(scale.start_px, bar_y - 5, row.name, "name"))
        shown = value + (f"  (p95 {tail})" if tail else "")
        add(texts, text(scale.end_px, bar_y - 5, shown, "value", "end"))
    add(group, box(start, bar_y, end - start, bar_px, f"bar {row.kind}"))
    middle = bar_y + bar_px / 2
    if row.whisker is not None and row.whisker > row.length:
        tip = scale.at(row.start + row.whisker)
        add(group, line(end, middle, tip, middle, f"whisker {row.kind}"))
        add(group, line(tip, middle - 4, tip, middle + 4, f"whisker {row.kind}"))
    if row.error > 0:
        low = scale.at(row.start + row.length - row.error)
        high = scale.at(row.start + row.length + row.error)
        add(group, box(low, bar_y - 2, high - low, bar_px + 4, "error"))
    add(svg, group)
    return texts


def _figure(value: float) -> str:
    return ms_text(value) if value < 10_000 else tick_text(value)
