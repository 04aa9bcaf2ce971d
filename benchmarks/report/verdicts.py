"""A line per target: shape, word and colour say whether it holds, a small picture by how much."""

from __future__ import annotations

from benchmarks.load.figure_text import value_text
from benchmarks.load.result import Document, VerdictLine
from service_runtime.report_page.drawing import box, line
from service_runtime.report_page.markup import Element, add, tag
from service_runtime.report_page.scales import Scale

_WORDS = {True: ("holds", "passed"), False: ("missed", "missed"), None: ("not measured", "unknown")}
_WIDTH, _HEIGHT = 200.0, 30.0


def verdicts(document: Document) -> Element:
    """All targets, and before them that every image was accounted for."""
    return tag(
        "ul", _counted(document), *(_line(one) for one in document.verdicts), class_="verdicts"
    )


def overall(document: Document) -> Element:
    """All of it in a few words."""
    missed = sum(one.passed is False for one in document.verdicts)
    unknown = sum(one.passed is None for one in document.verdicts)
    several = len(document.verdicts)
    if not all(one.counts.is_clean for one in document.repetitions):
        words, kind = "Not every image is accounted for", "missed"
    elif missed:
        words, kind = f"{missed} of {several} targets missed", "missed"
    elif unknown:
        words, kind = f"{unknown} of {several} targets not measured", "unknown"
    else:
        words = f"All {several} targets hold" if several else "Every image is accounted for"
        kind = "passed"
    shape = _shape({"passed": True, "missed": False}.get(kind))
    return tag("span", shape, words, class_=f"badge overall {kind}")


def _counted(document: Document) -> Element:
    counts = [one.counts for one in document.repetitions]
    clean = all(one.is_clean for one in counts)
    captured, offered = sum(c.captured for c in counts), sum(c.offered for c in counts)
    recorded, rejected = sum(c.recorded for c in counts), sum(c.rejected for c in counts)
    rest = (
        f"{sum(c.held for c in counts)} held, {sum(c.lost for c in counts)} lost, "
        f"{sum(c.duplicates for c in counts)} doubled"
    )
    problems = [problem for one in counts for problem in one.problems][:10]
    return _item(
        clean,
        "every image is accounted for",
        f"captured {captured:,} of {offered:,}; recorded {recorded:,}, rejected {rejected:,}; {rest}",
        None,
        *(tag("p", problem, class_="problem") for problem in problems),
    )


def _line(one: VerdictLine) -> Element:
    word = "at most" if one.direction == "at_most" else "at least"
    measured = "" if one.measured is None else f"{value_text(one.measured, one.unit)}; "
    said = f"{measured}{word} {value_text(one.limit, one.unit)}"
    low, high = min(one.per_repetition, default=0.0), max(one.per_repetition, default=0.0)
    if low < high:
        said += (
            f"; {len(one.per_repetition)} repetitions {value_text(low, one.unit)} to "
            f"{value_text(high, one.unit)}"
        )
    if one.note:
        said += f" ({one.note})"
    return _item(one.passed, one.text, said, _gauge(one))


def _item(
    passed: bool | None, words: str, said: str, gauge: Element | None, *rest: Element
) -> Element:
    sign, kind = _WORDS[passed]
    return tag(
        "li",
        _shape(passed),
        tag("b", sign, class_="sign"),
        tag("div", tag("p", words, class_="target-text"), tag("p", said, class_="said"), *rest),
        gauge,
        class_=kind,
    )


def _shape(passed: bool | None) -> Element:
    """A circle with a tick, an octagon with a cross, a diamond with a question mark."""
    if passed:
        inner = (
            tag("circle", cx=12, cy=12, r=11, class_="fill"),
            tag("path", d="M6.5 12.5l3.8 3.8 7.2-8", class_="stroke"),
        )
    elif passed is None:
        inner = (
            tag("path", d="M12 0.5L23.5 12 12 23.5 0.5 12Z", class_="fill"),
            tag(
                "path", d="M9 9.6a3 3 0 1 1 4.2 2.8c-.8.4-1.2.9-1.2 1.9M12 17.2v.1", class_="stroke"
            ),
        )
    else:
        inner = (
            tag("path", d="M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9Z", class_="fill"),
            tag("path", d="M8 8l8 8M16 8l-8 8", class_="stroke"),
        )
    return tag("svg", *inner, viewBox="0 0 24 24", class_="shape", aria_hidden="true")


def _gauge(one: VerdictLine) -> Element | None:
    """Where the figure lies beside its limit; None where there is nothing to see."""
    values = [*one.per_repetition, *([] if one.measured is None else [one.measured])]
    if not values or min(values) < 0 or max(*values, one.limit) <= 0 or one.limit <= 0:
        return None
    high = max(*values, one.limit * 1.3) * 1.08
    scale = Scale(0.0, high, 4.0, _WIDTH - 4)
    at = scale.at(one.limit)
    left, right = (scale.start_px, at) if one.direction == "at_most" else (at, scale.end_px)
    svg = tag("svg", viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}", class_="gauge", aria_hidden="true")
    add(svg, line(scale.start_px, 15, scale.end_px, 15, "rail"))
    add(svg, box(left, 10, right - left, 10, "allowed"), line(at, 4, at, 26, "limit"))
    for value in one.per_repetition if len(one.per_repetition) > 1 else ():
        add(svg, tag("circle", cx=scale.at(value), cy=15, r=2.5, class_="single"))
    if one.measured is not None:
        add(svg, tag("circle", cx=scale.at(one.measured), cy=15, r=6, class_="measured"))
    return svg
