"""The figures as tables, those of every picture among them: stages, spans, slices, sweep, processes, repetitions."""

from __future__ import annotations

from benchmarks.load.figure_text import ms_text
from benchmarks.load.result import Document, Latency, PathResult, ProcessUse, Sweep
from benchmarks.report.stage_chain import Chain
from benchmarks.report.words import STAGE_WORDS, span_words
from service_runtime.report_page.markup import Element
from service_runtime.report_page.table import table
from wire_protocol.trace import Stage

_POINTS = ("p50", "p90", "p95", "p99", "p99.9", "max")


def stages_table(path: PathResult, chain: Chain) -> Element:
    """All percentiles of each stage, and what it is."""
    errors = any(one.error_ms > 0 for one in chain.links)
    rows = [
        [
            one.name.replace("_", " "),
            *_points(one),
            *(([f"±{ms_text(one.error_ms)}"] if one.error_ms else [""]) if errors else []),
            STAGE_WORDS.get(Stage(one.name), ""),
        ]
        for one in path.stages
    ]
    heads = ["stage, ms", *_POINTS, *(["clocks"] if errors else []), "what it is"]
    return table("Stages", heads, rows, is_folded=True, kind="last-words")


def spans_table(path: PathResult) -> Element:
    """All percentiles of each span."""
    errors = any(one.error_ms > 0 for one in path.totals)
    rows = [
        [
            span_words(one.name),
            str(one.count),
            *_points(one),
            *(([f"±{ms_text(one.error_ms)}"] if one.error_ms else [""]) if errors else []),
        ]
        for one in path.totals
    ]
    heads = ["span, ms", "images", *_POINTS, *(["clocks"] if errors else [])]
    return table("Spans of the whole way", heads, rows)


def time_table(path: PathResult) -> Element:
    """The figures of the picture over time."""
    rows = [
        [
            f"{one.at_s:g}",
            one.phase.replace("_", "-"),
            str(one.offered),
            str(one.completed),
            "" if one.p50_ms is None else ms_text(one.p50_ms),
            "" if one.max_ms is None else ms_text(one.max_ms),
        ]
        for one in path.over_time
    ]
    heads = ["from, s", "phase", "offered", "completed", "p50, ms", "slowest, ms"]
    return table("Second by second", heads, rows, is_folded=True)


def sweep_table(sweep: Sweep) -> Element:
    """The figures of the sweep."""
    rows = [
        [
            f"{one.offered_per_s:.3g}",
            f"{one.achieved_per_s:.3g}",
            ms_text(one.p50_ms),
            ms_text(one.p95_ms),
            ms_text(one.p99_ms),
            str(one.lost),
            "held" if one.is_held else "not held",
        ]
        for one in sweep.points
    ]
    heads = ["offered, images/s", "came through", "p50, ms", "p95", "p99", "lost", ""]
    return table("Rates", heads, rows)


def process_table(document: Document) -> Element | None:
    """What each process of hemowire's path used, then what those of the baselines did."""
    rows: list[list[str]] = []
    for path in (document.together, *document.baselines_together):
        if path.processes and document.baselines_together:
            rows.append(["hemowire" if path is document.together else path.title])
        rows += [_use(use) for use in path.processes]
    if not rows:
        return None
    heads = [
        "process", "cpu s", "of a core", "memory MB", "grew by", "sent MB", "received MB",
        "disk read MB", "disk written MB",
    ]  # fmt: skip
    note = (
        "CPU seconds and bytes are summed over repetitions, the share of a core is their median, "
        "memory their highest peak. Empty: nothing counts it here."
    )
    return table("Processes", heads, rows, note=note)


def _use(use: ProcessUse) -> list[str]:
    before = use.rss_before_bytes
    grew = None if before is None else use.peak_rss_bytes - before
    traffic = (use.sent_bytes, use.received_bytes, use.read_bytes, use.written_bytes)
    return [
        use.name,
        f"{use.cpu_s:.2f}",
        f"{use.cpu_percent:.0f} %",
        megabytes(use.peak_rss_bytes),
        megabytes(grew),
        *(megabytes(size) for size in traffic),
    ]


def broker_table(document: Document) -> Element | None:
    """What the broker counted."""
    rows = [
        [
            "hemowire" if path is document.together else path.title,
            f"{path.broker.messages_received:,}",
            f"{path.broker.messages_sent:,}",
            megabytes(path.broker.bytes_received),
            megabytes(path.broker.bytes_sent),
            f"{path.broker.publish_dropped:,}",
        ]
        for path in (document.together, *document.baselines_together)
        if path.broker is not None
    ]
    if not rows:
        return None
    heads = ["way", "messages in", "messages out", "MB in", "MB out", "dropped"]
    return table("The broker's own counters ($SYS)", heads, rows)


def repetitions_table(document: Document) -> Element:
    """Each repetition by itself."""
    rows = []
    for one in document.repetitions:
        total = next((total for total in one.hemowire.totals[:1] if total.count), None)
        counts = one.counts
        rows.append(
            [
                str(one.number),
                str(one.seed),
                one.started,
                f"{counts.captured:,} of {counts.offered:,}",
                f"{counts.recorded:,} + {counts.rejected:,}",
                str(counts.held),
                str(counts.lost),
                str(counts.duplicates),
                f"{counts.measured_completed:,} of {counts.measured_offered:,}",
                "" if total is None else ms_text(total.p50_ms),
                "" if total is None else ms_text(total.p99_ms),
                f"{one.hemowire.images_per_s:.2f}",
            ]
        )
    heads = [
        "repetition", "seed", "started", "captured", "recorded + rejected", "held", "lost",
        "doubled", "measured", "p50, ms", "p99, ms", "images/s",
    ]  # fmt: skip
    note = "Images are counted from outboxes, archive and records, not by what programs say."
    return table("Repetitions", heads, rows, note=note)


def megabytes(size: int | None) -> str:
    """Bytes in MB; "" for what nobody counted."""
    return "" if size is None else f"{size / 1e6:,.1f}"


def _points(one: Latency) -> list[str]:
    return [
        ms_text(ms)
        for ms in (one.p50_ms, one.p90_ms, one.p95_ms, one.p99_ms, one.p999_ms, one.max_ms)
    ]
