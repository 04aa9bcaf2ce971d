"""The rate sweep: what came through of what was offered, what it cost in waiting, and where the knee lies."""

from __future__ import annotations

from benchmarks.load.figure_text import value_text
from benchmarks.load.result import Document, Sweep, SweepPoint
from benchmarks.report.words import span_words
from service_runtime.report_page.drawing import (
    Words,
    figure,
    limit_across,
    line,
    path,
    text,
    x_axis,
    y_axis,
)
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale, fit

_TOP, _UPPER, _GAP, _LOWER, _BOTTOM = 34.0, 150.0, 48.0, 180.0, 44.0


def sweep_curve(document: Document) -> Element | None:
    """None where no rate was swept."""
    sweep = document.sweep
    if sweep is None or not sweep.points:
        return None
    engine = next((one for one in document.limits if one.unit == "images/s"), None)
    alone = None if engine is None else (engine.value, engine.name)
    note = (
        "Above: images a second that came through; thin line: all that were offered. Below: "
        f"{span_words(sweep.total)} of the same rates. Hollow points: a rate that was not held."
    )
    words = Words(
        "sweep",
        "Rate sweep",
        f"{len(sweep.points)} rates from {sweep.points[0].offered_per_s:.3g} to "
        f"{sweep.points[-1].offered_per_s:.3g} images a second: {sweep.knee_text}. The figures "
        "stand in the table below.",
    )
    return figure(words, lambda svg, width: _draw(svg, width, sweep, alone), note=note)


def _draw(svg: Element, width: int, sweep: Sweep, alone: tuple[float, str] | None) -> float:
    points = sweep.points
    upper = _TOP + _UPPER
    lower_top = upper + _GAP
    bottom = lower_top + _LOWER
    x = Scale(0.0, (max(p.offered_per_s for p in points) or 1.0) * 1.04, 54.0, width - 36.0)
    rates = [p.achieved_per_s for p in points] + ([alone[0]] if alone else [])
    rate_y = fit([*rates, *(p.offered_per_s for p in points)], upper, _TOP, may_log=False)
    ms_y = fit([ms for p in points for ms in (p.p50_ms, p.p95_ms, p.p99_ms)], bottom, lower_top)
    y_axis(svg, rate_y, x.start_px, x.end_px, "images/s that came through")
    y_axis(svg, ms_y, x.start_px, x.end_px, "ms")
    x_axis(svg, x, bottom, bottom, "images/s offered")
    most = min(x.high, rate_y.high)
    add(svg, line(x.at(0), rate_y.at(0), x.at(most), rate_y.at(most), "ideal"))
    if alone is not None:
        words = f"{alone[1]}: {value_text(alone[0], 'images/s')}"
        limit_across(svg, rate_y.at(alone[0]), x.start_px, x.end_px, words)
    if sweep.knee_per_s is not None:
        at = x.at(sweep.knee_per_s)
        anchor, away = ("start", 6) if at < width / 2 else ("end", -6)
        words = f"knee at {sweep.knee_per_s:.3g} images/s"
        add(svg, line(at, _TOP - 12, at, bottom, "knee"))
        add(svg, text(at + away, upper - 8, words, "knee-text", anchor))
    _draw_points(svg, [(x.at(p.offered_per_s), rate_y.at(p.achieved_per_s), p) for p in points], 0)
    ends: list[tuple[float, str, int]] = []
    for place, name in enumerate(("p50_ms", "p95_ms", "p99_ms")):
        found = [(x.at(p.offered_per_s), ms_y.at(getattr(p, name)), p) for p in points]
        _draw_points(svg, found, place)
        ends.append((found[-1][1], name.removesuffix("_ms"), place))
    below = float("inf")
    for up, words, place in sorted(ends, reverse=True):
        below = min(up + 4, below - 14)
        add(svg, text(x.end_px + 6, below, words, f"label s{place}"))
    return bottom + _BOTTOM


def _draw_points(svg: Element, found: list[tuple[float, float, SweepPoint]], place: int) -> None:
    add(svg, path([(at, up) for at, up, _ in found], f"line s{place}"))
    for at, up, point in found:
        held = "" if point.is_held else " hollow"
        add(svg, tag("circle", cx=at, cy=up, r=4, class_=f"dot s{place}{held}"))
