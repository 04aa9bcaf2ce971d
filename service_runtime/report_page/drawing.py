"""The pieces of a picture: frame, axes, marks and text as SVG; colours are classes, so that light and dark share them.

Every picture is drawn for a wide page and for a phone, and the style sheet shows one: text keeps its
size in either. Both carry a title and a description, and their figures stand in a table beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale

WIDE, HALF, NARROW = 880, 430, 380
"""Widths of a picture: alone on a wide page, beside another one, on a phone."""
_CHARACTER_PX = 7.1


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture shows, for those who hear it and for the line below it."""

    name: str
    title: str
    description: str


Draw = Callable[[Element, int], float]


def figure(
    words: Words, draw: Draw, *rest: Element | None, note: str = "", wide: int = WIDE
) -> Element:
    """A picture in both widths; `draw` fills an SVG of this width and tells its height."""
    pictures = []
    for width, kind in ((wide, "wide"), (NARROW, "narrow")):
        name = f"{words.name}-{kind}"
        svg = tag(
            "svg",
            tag("title", words.title, id=f"{name}-t"),
            tag("desc", words.description, id=f"{name}-d"),
            class_=kind,
            role="img",
            aria_labelledby=f"{name}-t {name}-d",
        )
        height = draw(svg, width)
        svg.set("viewBox", f"0 0 {width} {height:.0f}")
        pictures.append(svg)
    caption = tag("figcaption", note) if note else None
    return tag("figure", *pictures, caption, *rest)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> Element:
    """A line of text with its baseline at y."""
    return tag("text", words, x=x, y=y, class_=kind or None, text_anchor=anchor or None)


def text_px(words: str) -> float:
    """About how wide a line of text is; no font is read."""
    return len(words) * _CHARACTER_PX


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Element:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def box(x: float, y: float, width: float, height: float, kind: str) -> Element:
    """A filled rectangle, never thinner than a pixel and a half."""
    return tag("rect", x=x, y=y, width=max(width, 1.5), height=height, class_=kind)


def path(points: Sequence[tuple[float, float]], kind: str) -> Element:
    """A line through these points."""
    steps = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(points))
    return tag("path", d=steps, class_=kind)


def y_axis(svg: Element, scale: Scale, left: float, right: float, title: str) -> None:
    """Grid lines with their figures on the left, and what they count above them."""
    group = tag("g", class_="axis", aria_hidden="true")
    for tick in scale.ticks():
        y = scale.at(tick)
        add(group, line(left, y, right, y, "grid"))
        add(group, text(left - 6, y + 4, tick_text(tick), anchor="end"))
    kind = ", logarithmic" if scale.is_log else ""
    add(svg, add(group, text(0, min(scale.start_px, scale.end_px) - 10, title + kind, "unit")))


def x_axis(svg: Element, scale: Scale, top: float, bottom: float, title: str) -> None:
    """Grid lines with their figures below, and what they count at the right end."""
    group = tag("g", class_="axis", aria_hidden="true")
    ticks = scale.ticks(max(2, int(abs(scale.end_px - scale.start_px) / 80)))
    for tick in ticks:
        x = scale.at(tick)
        add(group, line(x, top, x, bottom, "grid"))
        add(group, text(x, bottom + 16, tick_text(tick), anchor="middle"))
    kind = ", logarithmic" if scale.is_log else ""
    add(svg, add(group, text(scale.end_px, bottom + 34, title + kind, "unit", "end")))


def tick_text(value: float) -> str:
    """A round figure."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def limit_across(svg: Element, y: float, left: float, right: float, words: str) -> None:
    """A physical limit as a line across a picture."""
    add(svg, line(left, y, right, y, "limit"), text(right, y - 5, words, "limit-text", "end"))
