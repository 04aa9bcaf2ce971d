"""Where the milliseconds went: stages from the schedule to the screen, and what share each part of the way had."""

from __future__ import annotations

from benchmarks.load.figure_text import ms_text
from benchmarks.load.result import Document
from benchmarks.report.rows import Mark, Row, draw_rows
from benchmarks.report.stage_chain import PART_WORDS, Chain
from benchmarks.report.words import span_words
from service_runtime.report_page.drawing import Words, figure
from service_runtime.report_page.markup import Element, tag
from wire_protocol.trace import Stage


def waterfall(document: Document, chain: Chain) -> Element:
    """Each stage as a bar from its predecessor's end, and the whole below."""
    rows = [
        Row(
            name=one.stage.value.replace("_", " "),
            start=one.start_ms,
            length=one.p50_ms,
            whisker=one.p95_ms,
            error=one.error_ms,
            kind=f"part-{one.part}" + ("" if one.is_on_way else " beside"),
        )
        for one in chain.links
    ]
    totals = document.together.totals
    if totals and totals[0].count:
        whole = totals[0]
        rows.append(
            Row(
                span_words(whole.name), whole.p50_ms, "whole-bar", whisker=whole.p95_ms,
                error=whole.error_ms, is_whole=True,
            )
        )  # fmt: skip
    marks = []
    offered_ms = chain.end_of(Stage.OFFERED)
    for limit in document.limits:
        if limit.unit == "ms" and limit.applies_to == "offered_to_stored" and offered_ms:
            drawn = f"{limit.name}: stored {ms_text(limit.value)} ms after the offer at best"
            marks.append(Mark(offered_ms + limit.value, drawn))
    has_errors = any(one.error_ms > 0 for one in chain.links)
    note = (
        "Bar: median of the stage, drawn from the median end of the stage it follows; whisker: its "
        "p95; pale: beside the way to the answer, which does not wait for it. Medians of stages do "
        "not add up to the median of the whole, so the whole has a bar of its own."
    )
    if has_errors:
        note += " Dashed frame: by how much the clocks of two machines may be wrong about its end."
    words = Words(
        "waterfall",
        "Stage waterfall",
        f"{len(chain.links)} stages of {document.together.completed} images, in milliseconds since "
        "the scheduled capture. The figures stand in the table of stages.",
    )
    return figure(words, lambda svg, width: draw_rows(svg, width, rows, "ms", marks), note=note)


def parts_strip(chain: Chain) -> Element | None:
    """One bar of the way to the answer, divided by who had the image."""
    sums = chain.by_part()
    whole = sum(sums.values())
    if not whole:
        return None
    pieces, legend = [], []
    for part, ms in sums.items():
        words = PART_WORDS[part]
        pieces.append(tag("span", class_=f"part-{part}", style=f"flex-grow:{ms / whole:.4f}"))
        figures = tag("b", f"{ms_text(ms)} ms")
        share = tag("small", f" {100 * ms / whole:.0f} %")
        legend.append(tag("li", tag("i", class_=f"part-{part}"), f"{words} ", figures, share))
    return tag(
        "div",
        tag("div", *pieces, class_="strip", aria_hidden="true"),
        tag("ul", *legend, class_="legend"),
        class_="parts",
    )
