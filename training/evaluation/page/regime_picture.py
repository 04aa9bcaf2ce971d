"""The same recipe under several ways of splitting, side by side: the gap between them is the result."""

from __future__ import annotations

from collections.abc import Sequence

from service_runtime.report_page.drawing import Words, figure, line, text, x_axis
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale
from training.evaluation.document import RegimeRow

_ROW, _TOP, _BOTTOM, _HEAD = 30.0, 20.0, 44.0, 30.0


def regime_picture(rows: Sequence[RegimeRow]) -> Element:
    """Balanced accuracy with its interval per system and regime, mean RGB alone as a hollow mark."""
    said = "; ".join(
        f"{row.system}, {row.words}: {row.balanced_accuracy.value:.3f}"
        for row in rows
        if row.balanced_accuracy.value is not None
    )
    words = Words("regimes", "Balanced accuracy by way of splitting", said)
    note = (
        "Filled: the network, with its bootstrap interval over groups. Hollow: a machine that sees "
        "nothing but the image's mean RGB."
    )
    return figure(words, lambda svg, width: _draw(svg, width, rows), note=note)


def _draw(svg: Element, width: int, rows: Sequence[RegimeRow]) -> float:
    lows = [row.balanced_accuracy.low for row in rows]
    lows += [m for row in rows if (m := row.mean_rgb_balanced_accuracy) is not None]
    low = max(0.0, min(lows, default=0.0) - 0.05)
    left = 8.0 if width < 500 else 250.0
    x = Scale(low, 1.0, left, width - 60.0)
    systems = list(dict.fromkeys(row.system for row in rows))
    tall = _ROW if width >= 500 else _ROW + 14
    bottom = _TOP + sum(_HEAD + tall * sum(r.system == s for r in rows) for s in systems)
    x_axis(svg, x, _TOP, bottom, "balanced accuracy")
    y = _TOP
    for system in systems:
        add(svg, text(0, y + 20, system, "value"))
        y += _HEAD
        for row in rows:
            if row.system == system:
                _mark(svg, row, x, y + tall - _ROW / 2, width)
                y += tall
    return bottom + _BOTTOM


def _mark(svg: Element, row: RegimeRow, x: Scale, y: float, width: int) -> None:
    found = row.balanced_accuracy
    if width >= 500:
        add(svg, text(12, y + 4, row.words, "quiet"))
    else:
        add(svg, text(0, y - 12, row.words, "quiet"))
    if row.mean_rgb_balanced_accuracy is not None:
        at = x.at(row.mean_rgb_balanced_accuracy)
        add(svg, tag("circle", cx=at, cy=y, r=5, class_="dot hollow s3"))
    if found.value is None:
        return
    add(svg, line(x.at(found.low), y, x.at(found.high), y, "whisker"))
    add(svg, tag("circle", cx=x.at(found.value), cy=y, r=5, class_="point"))
    add(svg, text(x.end_px + 10, y + 4, f"{found.value:.3f}", "value"))
