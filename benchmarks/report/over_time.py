"""Latency over time: median and slowest image of each second, what was offered, and the phases that do not count."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.load.result import Document, Moment
from benchmarks.report.words import span_words
from service_runtime.report_page.drawing import Words, box, figure, line, path, text, x_axis, y_axis
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale, fit

_TOP, _PLOT, _GAP, _STRIP, _BOTTOM = 34.0, 210.0, 26.0, 46.0, 42.0
#: benchmarks/load/spans.py keeps 120 slices at most.
_LONG_S = 119.0
_PHASES = {"warm_up": "warm-up", "cool_down": "cool-down"}


def over_time(document: Document) -> Element | None:
    """None where no slice of time was kept."""
    moments = document.together.over_time
    if not moments:
        return None
    total = document.together.totals[0].name if document.together.totals else "latency"
    note = (
        f"{span_words(total).capitalize()}, by the second in which the capture was scheduled. Line: "
        "median; tip of each stem: slowest image. Below: images offered; hollow, those that did "
        "not come through. Shaded: warm-up and cool-down, which count for nothing else here."
    )
    if len(document.repetitions) > 1:
        note += " Of the repetition with the slowest image."
    words = Words(
        "over-time",
        "Latency over time",
        f"{len(moments)} slices of time, from {moments[0].at_s:g} s to {moments[-1].at_s:g} s after "
        "the first moment of load. The figures stand in the table below.",
    )
    return figure(words, lambda svg, width: _draw(svg, width, moments), note=note)


def _draw(svg: Element, width: int, moments: Sequence[Moment]) -> float:
    slice_s = _slice_s(moments)
    x = Scale(moments[0].at_s, moments[-1].at_s + slice_s, 54.0, width - 8.0)
    drawn = [ms for one in moments for ms in (one.p50_ms, one.max_ms) if ms is not None]
    y = fit(drawn, _TOP + _PLOT, _TOP)
    strip_bottom = _TOP + _PLOT + _GAP + _STRIP
    _shade(svg, moments, slice_s, x, strip_bottom)
    y_axis(svg, y, x.start_px, x.end_px, "ms")
    x_axis(svg, x, _TOP, strip_bottom, "s since the first moment of load")
    most = max((max(one.offered, one.completed) for one in moments), default=1) or 1
    count = Scale(0.0, float(most), strip_bottom, strip_bottom - _STRIP)
    add(svg, text(0, count.end_px - 6, "images", "unit"))
    add(svg, text(x.start_px - 6, count.end_px + 6, str(most), "tick", "end"))
    room = x.at(x.low + slice_s) - x.start_px
    medians = []
    for one in moments:
        middle = x.at(one.at_s + slice_s / 2)
        wide = max(room - 3, 1.5)
        offered_y, done_y = count.at(float(one.offered)), count.at(float(one.completed))
        add(svg, box(middle - wide / 2, done_y, wide, strip_bottom - done_y, "count"))
        if one.offered > one.completed:
            add(svg, box(middle - wide / 2, offered_y, wide, done_y - offered_y, "missing"))
        if one.p50_ms is None or one.max_ms is None:
            continue
        low, high = y.at(one.p50_ms), y.at(one.max_ms)
        medians.append((middle, low))
        add(svg, line(middle, low, middle, high, "stem"))
        add(svg, line(middle - 4, high, middle + 4, high, "stem"))
    if len(medians) > 1:
        add(svg, path(medians, "line s0"))
    add(svg, *(tag("circle", cx=at, cy=up, r=2.5, class_="dot s0") for at, up in medians))
    return strip_bottom + _BOTTOM


def _slice_s(moments: Sequence[Moment]) -> float:
    """Slices are of a second; those of a long load are as long as the nearest two are apart."""
    if moments[-1].at_s < _LONG_S:
        return 1.0
    return max(1.0, min((after.at_s - one.at_s for one, after in pairwise(moments)), default=1.0))


def _shade(
    svg: Element, moments: Sequence[Moment], slice_s: float, x: Scale, bottom: float
) -> None:
    """A pale ground under the slices of each phase that does not count."""
    for phase, words in _PHASES.items():
        own = [one.at_s for one in moments if one.phase == phase]
        if own:
            left, right = x.at(min(own)), x.at(max(own) + slice_s)
            anchor, at = ("start", left + 4) if phase == "warm_up" else ("end", right - 4)
            add(svg, box(left, _TOP, right - left, bottom - _TOP, "shade"))
            add(svg, text(at, _TOP + _PLOT + 15, words, "phase", anchor))
