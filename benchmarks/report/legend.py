"""Which line is whose: colour and dashes of each way, the same in every picture; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.load.measure_names import BASELINES, HANDOFF
from service_runtime.report_page.markup import Element, tag

_SERIES: Final = {
    path: f"s{place}"
    for place, path in enumerate(
        ("hemowire", HANDOFF, *(path for path in BASELINES if path != HANDOFF))
    )
}


def series_of(path: str) -> str:
    """The style sheet's class of a way; those that it does not know share one."""
    return _SERIES.get(path, "s5")


def legend(titles: Sequence[tuple[str, str]], kind: str = "line") -> Element:
    """A list of the ways with a piece of their line."""
    items = []
    for path, title in titles:
        sample = tag(
            "svg",
            tag("line", x1=1, y1=7, x2=31, y2=7, class_=f"{kind} {series_of(path)}"),
            viewBox="0 0 32 14",
            class_="sample",
            aria_hidden="true",
        )
        items.append(tag("li", sample, title))
    return tag("ul", *items, class_="legend")
