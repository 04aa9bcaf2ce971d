"""The report on one page: answer, verdicts, where time went, against what, over time, at what rate and cost, and how.

It shows what the document holds and nothing else: a part that was not measured is left out. The
file needs no other one: no script, no font, no address; its policy forbids loading anything.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.load.compare import NOISE_PERCENT
from benchmarks.load.figure_text import ms_text
from benchmarks.load.result import Document
from benchmarks.report.how import how_measured
from benchmarks.report.over_time import over_time
from benchmarks.report.percentile_curve import curve_spans, percentile_curve
from benchmarks.report.stage_chain import place_stages
from benchmarks.report.sweep_curve import sweep_curve
from benchmarks.report.tables import (
    broker_table,
    process_table,
    spans_table,
    stages_table,
    sweep_table,
    time_table,
)
from benchmarks.report.verdicts import overall, verdicts
from benchmarks.report.waterfall import parts_strip, waterfall
from benchmarks.report.ways import rate_bars, ways
from benchmarks.report.words import (
    Answer,
    slowest_ms,
    slowest_words,
    span_words,
    was_it_faster,
    what_was_measured,
    where_the_time_went,
)
from service_runtime.report_page.house_page import house_page, section
from service_runtime.report_page.markup import Element, tag
from wire_protocol.words import RESEARCH_USE_ONLY

_STYLE = Path(__file__).with_name("report.css")
_SIGNS = {"faster": "▲", "slower": "▼", "even": "="}


def write_report(document: Document, file: Path) -> None:
    """Writes the page; raises OSError."""
    file.write_text(make_page(document), encoding="utf-8")


def make_page(document: Document) -> str:
    """The whole page."""
    scenario = document.scenario
    return house_page(
        f"{scenario.title} - hemowire bench",
        _head(document),
        tag(
            "main",
            section("Verdict", verdicts(document)),
            _where(document),
            _faster(document),
            *_curves(document),
            _time(document),
            _sweep(document),
            _cost(document),
            section("How it was measured", *how_measured(document)),
        ),
        tag(
            "footer",
            tag("p", tag("b", RESEARCH_USE_ONLY), " All images of this benchmark are synthetic."),
            tag("p", f"hemowire {document.hemowire}, {document.started}"),
        ),
        own_style=_STYLE,
    )


def _head(document: Document) -> Element:
    chain = place_stages(document.together)
    return tag(
        "header",
        tag("p", f"hemowire bench · {document.scenario.name}", class_="eyebrow"),
        tag("h1", document.scenario.title),
        tag("p", document.scenario.question, class_="question")
        if document.scenario.question
        else None,
        tag(
            "p",
            overall(document),
            tag("span", RESEARCH_USE_ONLY, class_="badge warn"),
            tag("span", "Synthetic images", class_="badge"),
            class_="badges",
        ),
        _tiles(document),
        tag("p", where_the_time_went(document, chain), class_="answer"),
        *(part for answer in was_it_faster(document) for part in _compared(answer)),
        tag("p", what_was_measured(document), class_="measured-words"),
        _noise(document),
    )


def _compared(answer: Answer) -> list[Element]:
    lines = [
        tag("li", tag("i", _SIGNS[one.word], aria_hidden="true"), one.words, class_=one.word)
        for one in answer.compared
    ]
    return [tag("p", answer.sentence, class_="answer"), tag("ul", *lines, class_="compared")]


def _tiles(document: Document) -> Element:
    path = document.together
    tiles = []
    if path.totals and path.totals[0].count:
        total = path.totals[0]
        words = span_words(total.name)
        tiles += [
            (ms_text(total.p50_ms), "ms", f"median, {words}"),
            (ms_text(slowest_ms(total)), "ms", f"{slowest_words(total)}, {words}"),
        ]
    tiles.append((f"{path.images_per_s:.3g}", "images/s", "came through"))
    lost = sum(one.counts.lost + one.counts.held for one in document.repetitions)
    doubled = sum(one.counts.duplicates for one in document.repetitions)
    tiles.append((f"{lost} / {doubled}", "", "images lost / doubled"))
    return tag(
        "dl",
        *(
            tag("div", tag("dd", figure, tag("small", f" {unit}") if unit else None),
                tag("dt", words))
            for figure, unit, words in tiles
        ),
        class_="tiles",
    )  # fmt: skip


def _noise(document: Document) -> Element | None:
    others = document.together.others_cpu_percent
    if others is None or others <= NOISE_PERCENT:
        return None
    words = (
        f"Other programs took up to {others / 100:.1f} of this machine's {document.machine.cores} "
        "cores meanwhile: read ratios here, not milliseconds."
    )
    return tag("p", words, class_="noise")


def _where(document: Document) -> Element | None:
    chain = place_stages(document.together)
    path = document.together
    if not chain.links and not path.totals:
        return None
    return section(
        "Where the milliseconds went",
        parts_strip(chain),
        waterfall(document, chain) if chain.links else None,
        stages_table(path, chain) if chain.links else None,
        spans_table(path) if path.totals else None,
    )


def _faster(document: Document) -> Element | None:
    compared = ways(document)
    return section("Was it faster", compared) if compared is not None else None


def _curves(document: Document) -> list[Element]:
    curves = [percentile_curve(document, name) for name in curve_spans(document)]
    return [section("How many waited how long", *curves)] if curves else []


def _time(document: Document) -> Element | None:
    picture = over_time(document)
    if picture is None:
        return None
    return section("Latency over time", picture, time_table(document.together))


def _sweep(document: Document) -> Element | None:
    picture = sweep_curve(document)
    if picture is None or document.sweep is None:
        rates = rate_bars(document)
        return None if rates is None else section("How much came through", rates)
    words = tag("p", f"{document.sweep.knee_text}.", class_="lead")
    return section("How much it takes", words, picture, sweep_table(document.sweep))


def _cost(document: Document) -> Element | None:
    tables = [process_table(document), broker_table(document)]
    return section("What it cost", *tables) if any(one is not None for one in tables) else None
