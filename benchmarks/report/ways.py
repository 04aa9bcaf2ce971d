"""Was it faster: the same images by every way, as bars with the physical limit drawn in, and as a table."""

from __future__ import annotations

from benchmarks.load.figure_text import ms_text, value_text
from benchmarks.load.result import Document, Latency, PathResult
from benchmarks.report.legend import series_of
from benchmarks.report.rows import Mark, Row, draw_rows
from benchmarks.report.tables import megabytes
from benchmarks.report.words import PUBLISHED, STORED, arrival_words, find, our_way
from service_runtime.report_page.drawing import Words, figure
from service_runtime.report_page.markup import Element, tag
from service_runtime.report_page.table import table


def ways(document: Document) -> Element | None:
    """None where no baseline ran."""
    if not document.baselines_together:
        return None
    pictures = [
        _picture(document, STORED, "until durably stored"),
        _picture(document, PUBLISHED, "until the answer is sent"),
    ]
    note = (
        "From the moment a sender begins with an image (its wait before that is not in it): median, "
        "whisker to p95. Each way ran alone, with the same images at the same times, through the same broker and link."
    )
    drawn = tag("p", note, class_="note") if any(one is not None for one in pictures) else None
    paths = (document.together, *document.baselines_together)
    return tag("div", *pictures, drawn, _ways_table(document, paths))


def _picture(document: Document, span: str, until: str) -> Element | None:
    """Bars of all ways that have this span; None where only hemowire has it."""
    paths = (document.together, *document.baselines_together)
    rows = [
        Row(
            _title(document, path),
            latency.p50_ms,
            f"way-{series_of(path.path)}",
            whisker=latency.p95_ms,
        )
        for path in paths
        if (latency := find(path, span)) is not None
    ]
    if len(rows) < 2:
        return None
    marks = [
        Mark(limit.value, f"{limit.name}: {ms_text(limit.value)} ms")
        for limit in document.limits
        if limit.applies_to == span and limit.unit == "ms"
    ]
    words = Words(
        f"ways-{span.replace('_', '-')}",
        f"The same images by other ways, {until}",
        f"Milliseconds from the offer {until}, of {len(rows)} ways. The figures stand in the table "
        "below.",
    )
    picture = figure(words, lambda svg, width: draw_rows(svg, width, rows, "ms", marks))
    return tag("div", tag("h3", f"From the offer {until}"), picture)


def rate_bars(document: Document) -> Element | None:
    """Images a second beside what the engine does alone; None where that was not measured."""
    marks = [
        Mark(limit.value, f"{limit.name}: {value_text(limit.value, limit.unit)}")
        for limit in document.limits
        if limit.unit == "images/s"
    ]
    if not marks:
        return None
    paths = (document.together, *document.baselines_together)
    rows = [
        Row(_title(document, path), path.images_per_s, f"way-{series_of(path.path)}")
        for path in paths
    ]
    words = Words(
        "rates",
        "Images a second",
        f"Images a second that came through, of {len(rows)} ways, beside the engine alone. The "
        "figures stand in the text and in the table of repetitions.",
    )
    note = f"Arrivals: {arrival_words(document.scenario)}."
    return figure(
        words, lambda svg, width: draw_rows(svg, width, rows, "images/s", marks), note=note
    )


def _ways_table(document: Document, paths: tuple[PathResult, ...]) -> Element:
    ours = our_way(document)
    own = find(ours, STORED)
    body = []
    for path in paths:
        stored, published = find(path, STORED), find(path, PUBLISHED)
        cpu_s = sum(use.cpu_s for use in path.processes)
        body.append(
            [
                _title(document, path),
                *_three(stored),
                "" if published is None else ms_text(published.p50_ms),
                f"{path.images_per_s:.2f}",
                f"{path.bytes_per_s / 1e6:.2f}",
                megabytes(path.link_bytes),
                f"{cpu_s:.2f}" if path.processes else "",
                str(path.lost),
                "" if path in (ours, document.together) else _faster(own, stored),
            ]
        )
    heads = [
        "way", "stored p50, ms", "p95", "p99", "answered p50, ms", "images/s", "MB/s", "link MB",
        "cpu s", "lost", "hemowire faster",
    ]  # fmt: skip
    note = (
        "Stored, answered: from the offer until durable, until the answer is sent. MB/s: while "
        "anything is on its way. Hemowire faster: that way's median stored divided by "
        + (
            "that of hemowire's hand-off alone, which, like the other ways, has no outbox and no "
            "records store."
            if ours is not document.together
            else "hemowire's."
        )
    )
    return table("Ways compared", heads, body, note=note)


def _title(document: Document, path: PathResult) -> str:
    return "hemowire, whole path" if path is document.together else path.title


def _three(latency: Latency | None) -> tuple[str, str, str]:
    if latency is None:
        return "", "", ""
    return ms_text(latency.p50_ms), ms_text(latency.p95_ms), ms_text(latency.p99_ms)


def _faster(own: Latency | None, theirs: Latency | None) -> str:
    if own is None or theirs is None or not own.p50_ms:
        return ""
    return f"{theirs.p50_ms / own.p50_ms:.2f}x"
