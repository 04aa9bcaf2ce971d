"""The percentile curve: how long which share of images took, by every way, with targets and limits."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.load.figure_text import value_text
from benchmarks.load.result import CurvePoint, Document, Latency, PathResult, VerdictLine
from benchmarks.report.legend import legend, series_of
from benchmarks.report.words import find, span_words
from service_runtime.report_page.drawing import (
    WIDE,
    Words,
    figure,
    limit_across,
    line,
    path,
    text,
    tick_text,
    y_axis,
)
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import (
    Scale,
    fit,
    percentile_at,
    percentile_ticks,
    resolved_percentile,
)

_LEAST_SHOWN = 99.9
#: A target this many times above all that was measured would only press the curves down.
_FAR = 2.0
_HEIGHT, _TOP, _BOTTOM = 320.0, 34.0, 52.0
#: The percentile that a measure's last part names.
_POINTS = {"p50_ms": 50.0, "p90_ms": 90.0, "p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9}


def curve_spans(document: Document) -> list[str]:
    """The headline's span, those that a limit is about, and the one that is compared."""
    names = [total.name for total in document.together.totals[:1]]
    names += [limit.applies_to for limit in document.limits if limit.unit == "ms"]
    if document.baselines_together:
        names.append("offered_to_stored")
    return [name for name in dict.fromkeys(names) if _having(document, name)]


def percentile_curve(document: Document, name: str) -> Element:
    """The curves of all ways that have this span."""
    having = _having(document, name)
    limits = [one for one in document.limits if one.applies_to == name and one.unit == "ms"]
    highest = max(latency.max_ms for _, latency in having)
    targets = [
        one
        for one in document.verdicts
        if _target_point(one, name) is not None and one.limit <= _FAR * highest
    ]

    def draw(svg: Element, width: int) -> float:
        right = width - 10.0
        shown = max(_LEAST_SHOWN, *(resolved_percentile(latency.count) for _, latency in having))
        x = Scale(0.0, percentile_at(shown), 54.0, right)
        y = fit(
            [one.ms for _, latency in having for one in _points(latency)]
            + [limit.value for limit in limits]
            + [target.limit for target in targets],
            _HEIGHT - _BOTTOM,
            _TOP,
        )
        y_axis(svg, y, x.start_px, right, "ms")
        _percentile_axis(svg, x, shown, width)
        for limit in limits:
            words = f"{limit.name}: {value_text(limit.value, limit.unit)}"
            limit_across(svg, y.at(limit.value), x.start_px, right, words)
        for own, latency in reversed(having):
            _draw_curve(svg, latency, series_of(own.path), x, y)
        for target in targets:
            percentile = _target_point(target, name)
            assert percentile is not None
            _draw_target(svg, x.at(percentile_at(percentile)), y.at(target.limit), target)
        return _HEIGHT

    counted = ", ".join(f"{own.title} {latency.count}" for own, latency in having)
    note = f"Each nine takes the same room. Images: {counted}."
    if any(resolved_percentile(latency.count) < _LEAST_SHOWN for _, latency in having):
        note += " Dotted: finer than so few images tell; the slowest one stands for all of it."
    if targets:
        note += " Triangle: the most that a target of the scenario allows."
    words = Words(
        f"curve-{name.replace('_', '-')}",
        f"Percentile curve, {span_words(name)}",
        "Milliseconds at or below which a share of images lies, for each way of carrying them. "
        "The figures stand in the tables of spans and of ways.",
    )
    titles = [(own.path, own.title) for own, _ in having]
    return tag(
        "div",
        tag("h3", span_words(name)),
        legend(titles) if len(titles) > 1 else None,
        figure(words, draw, note=note),
    )


def _percentile_axis(svg: Element, x: Scale, shown: float, width: int) -> None:
    bottom = _HEIGHT - _BOTTOM
    group = tag("g", class_="axis", aria_hidden="true")
    for tick in (0.0, *percentile_ticks(shown)):
        at = x.at(percentile_at(tick))
        add(group, line(at, _TOP, at, bottom, "grid"))
        add(group, text(at, bottom + 16, tick_text(tick), anchor="middle"))
    title = "percent of the images took at most this long" if width == WIDE else "percent of images"
    add(svg, add(group, text(x.end_px, bottom + 36, title, "unit", "end")))


def _draw_curve(svg: Element, latency: Latency, series: str, x: Scale, y: Scale) -> None:
    until = resolved_percentile(latency.count)
    points = [
        (x.at(percentile_at(one.percentile)), y.at(one.ms))
        for one in _points(latency)
        if one.percentile <= until
    ]
    end = (x.at(percentile_at(until)), y.at(latency.max_ms))
    add(svg, path([*points, end], f"line {series}"))
    if end[0] < x.end_px - 1:
        add(svg, line(end[0], end[1], x.end_px, end[1], f"beyond {series}"))
    add(svg, tag("circle", cx=end[0], cy=end[1], r=3.5, class_=f"dot {series}"))


def _draw_target(svg: Element, x: float, y: float, target: VerdictLine) -> None:
    word = {True: "passed", False: "missed", None: "unknown"}[target.passed]
    shape = f"M{x - 7:.1f} {y - 11:.1f}h14L{x:.1f} {y:.1f}Z"
    add(svg, tag("path", tag("title", target.text), d=shape, class_=f"target {word}"))


def _target_point(target: VerdictLine, name: str) -> float | None:
    kind, _, rest = target.measure.partition(".")
    span, _, point = rest.partition(".")
    fits = kind == "total" and span == name and target.direction == "at_most"
    return _POINTS.get(point) if fits else None


def _points(latency: Latency) -> Sequence[CurvePoint]:
    """A document without curves still has its percentiles."""
    named = [
        (0.0, latency.min_ms), (50.0, latency.p50_ms), (90.0, latency.p90_ms),
        (95.0, latency.p95_ms), (99.0, latency.p99_ms), (99.9, latency.p999_ms),
    ]  # fmt: skip
    return latency.curve or [CurvePoint(percentile=at, ms=ms) for at, ms in named]


def _having(document: Document, name: str) -> list[tuple[PathResult, Latency]]:
    paths = (document.together, *document.baselines_together)
    found = [(path, find(path, name)) for path in paths]
    return [(path, latency) for path, latency in found if latency is not None]
