"""The last screen of a benchmark: where the milliseconds go, against what, at what cost, and what holds."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.load.compare import NOISE_PERCENT
from benchmarks.load.figure_text import bar, ms_text, verdict_line
from benchmarks.load.measure_names import HANDOFF
from benchmarks.load.result import Document, Latency, PathResult
from wire_protocol.trace import PREDECESSORS, Stage
from wire_protocol.words import RESEARCH_USE_ONLY

_WAYS_NOTE = (
    "stored, published: p50 until durably in the archive, until the answer is sent; p95 and p99 of "
    "stored; MB/s while anything is on its way; faster: hemowire's (its hand-off alone where that "
    "ran, as the other ways are) in that way's"
)


def print_summary(document: Document, console: Console) -> None:
    """Everything that a terminal can show of a result."""
    _print_head(document, console)
    console.print(_stages(document.together))
    console.print()
    console.print(_spans(document))
    _print_limits(document, console)
    console.print()
    if document.baselines_together:
        console.print(_ways(document))
        console.print(_WAYS_NOTE, style="dim", highlight=False)
        console.print()
    console.print(_processes(document.together))
    _print_broker(document.together, console)
    console.print()
    if document.sweep is not None:
        console.print(_sweep(document))
        console.print()
    _print_verdict(document, console)


def _print_head(document: Document, console: Console) -> None:
    scenario, machine = document.scenario, document.machine
    console.rule(f"[bold]{scenario.title}")
    if scenario.question:
        console.print(scenario.question, style="italic", highlight=False)
    engine = document.repetitions[0].engine
    memory = machine.memory_bytes / 1024**3
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {memory:.0f} GiB; {machine.kernel}; "
        f"load before {machine.load_before:g}",
        f"{engine.bundle} on {engine.engine}"
        + (f", {engine.images_per_s:.1f} images/s by itself" if engine.images_per_s else ""),
        f"{scenario.devices.count} device(s), {scenario.worker.count} worker(s), "
        f"images of {scenario.images.size_bytes:,} bytes, "
        f"{document.scenario.repetitions} repetition(s) in {document.duration_s:.0f} s",
    ]
    lines += [
        f"{link.leg} link: {link.description}"
        for link in document.links
        if link.profile != "loopback"
    ]
    for line in lines:
        console.print(line, style="dim", highlight=False)
    others = document.together.others_cpu_percent
    if others is not None and others > NOISE_PERCENT:
        console.print(
            f"other programs took up to {others / 100:.1f} of this machine's {machine.cores} cores "
            "meanwhile: read ratios, not milliseconds",
            style="yellow",
            highlight=False,
        )
    console.print()


def _stages(path: PathResult) -> Table:
    images = path.stages[0].count if path.stages else 0
    table = _table(f"where the milliseconds go ({images} images of the measured phase)")
    table.add_column("stage", no_wrap=True)
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("p50, from its predecessor's end", no_wrap=True)
    ends: dict[Stage, float] = {}
    starts: dict[Stage, float] = {}
    for one in path.stages:
        stage = Stage(one.name)
        # Sending and receiving overlap, archive and inference run beside each other.
        before = next((s for s in PREDECESSORS[stage] if s in ends), None)
        starts[stage] = ends[before] if before else 0.0
        ends[stage] = starts[stage] + one.p50_ms
    whole = max(ends.values(), default=0.0) or 1.0
    for one in path.stages:
        drawn = bar(starts[Stage(one.name)] / whole, one.p50_ms / whole)
        table.add_row(one.name, *_points(one), drawn)
    return table


def _spans(document: Document) -> Table:
    table = _table("the whole way")
    table.add_column("span", no_wrap=True)
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in document.together.totals:
        table.add_row(one.name.replace("_", " ").replace(" less", ", less"), *_points(one))
    return table


def _print_limits(document: Document, console: Console) -> None:
    for limit in document.limits:
        value = f"{limit.value:,.1f} {limit.unit}".replace("images/s", "a second")
        what = limit.applies_to.removesuffix("_per_s").replace("_", " ")
        console.print(
            f"no software beats {limit.name}: {what} {value} ({limit.formula})",
            style="dim",
            highlight=False,
        )


def _ways(document: Document) -> Table:
    """Hemowire beside the baselines: from the moment a sender begins with an image."""
    table = _table("the same images by other ways (milliseconds from the sender's start)")
    table.add_column("way")
    for name in ("stored", "p95", "p99", "published", "MB/s", "lost", "faster"):
        table.add_column(name, justify="right", no_wrap=True)
    ours = next(
        (path for path in document.baselines_together if path.path == HANDOFF), document.together
    )
    own = _find(ours, "offered_to_stored")
    for path in (document.together, *document.baselines_together):
        stored, published = (
            _find(path, name) for name in ("offered_to_stored", "offered_to_published")
        )
        faster = ""
        if path not in (ours, document.together) and own and stored and own.p50_ms:
            faster = f"{stored.p50_ms / own.p50_ms:.2f}x"
        table.add_row(
            "hemowire, whole path" if path is document.together else path.title,
            *(("", "", "") if stored is None else _points(stored)[:3]),
            "" if published is None else ms_text(published.p50_ms),
            f"{path.bytes_per_s / 1e6:.1f}",
            str(path.lost),
            faster,
            style="bold" if path in (ours, document.together) else "",
        )
    return table


def _processes(path: PathResult) -> Table:
    table = _table("what it cost")
    table.add_column("process")
    for name in ("cpu s", "of a core", "memory MB", "grew", "sent MB", "got MB", "disk MB"):
        table.add_column(name, justify="right")
    for use in path.processes:
        grew = None if use.rss_before_bytes is None else use.peak_rss_bytes - use.rss_before_bytes
        table.add_row(
            use.name,
            f"{use.cpu_s:.2f}",
            f"{use.cpu_percent:.0f} %",
            f"{use.peak_rss_bytes / 1e6:.0f}",
            "" if grew is None else f"{grew / 1e6:.0f}",
            *(
                "" if size is None else f"{size / 1e6:.1f}"
                for size in (use.sent_bytes, use.received_bytes, use.written_bytes)
            ),
        )
    return table


def _print_broker(path: PathResult, console: Console) -> None:
    counters = path.broker
    if counters is not None:
        console.print(
            f"broker: {counters.messages_received:,} messages in, {counters.messages_sent:,} out, "
            f"{counters.bytes_received / 1e6:.1f} MB in, {counters.bytes_sent / 1e6:.1f} MB out, "
            f"{counters.publish_dropped} dropped",
            style="dim",
            highlight=False,
        )


def _sweep(document: Document) -> Table:
    sweep = document.sweep
    assert sweep is not None
    table = _table(f"rate sweep: {sweep.knee_text}")
    for name in ("offered/s", "came through/s", "p50", "p95", "p99"):
        table.add_column(name, justify="right")
    table.add_column("p50", no_wrap=True)
    most = max(point.p50_ms for point in sweep.points) or 1.0
    for point in sweep.points:
        table.add_row(
            f"{point.offered_per_s:.3g}", f"{point.achieved_per_s:.3g}", ms_text(point.p50_ms),
            ms_text(point.p95_ms), ms_text(point.p99_ms), bar(0.0, point.p50_ms / most),
            style="" if point.is_held else "red",
        )  # fmt: skip
    return table


def _print_verdict(document: Document, console: Console) -> None:
    counts = [repetition.counts for repetition in document.repetitions]
    clean = all(count.is_clean for count in counts)
    console.print(
        f"captured {sum(c.captured for c in counts)} of {sum(c.offered for c in counts)} = "
        f"recorded {sum(c.recorded for c in counts)} + rejected {sum(c.rejected for c in counts)}; "
        f"held {sum(c.held for c in counts)}, lost {sum(c.lost for c in counts)}, "
        f"duplicates {sum(c.duplicates for c in counts)}"
        "  (counted from outboxes, archive and records)",
        style="bold" if clean else "bold red",
        highlight=False,
        soft_wrap=not console.is_terminal,
    )
    for problem in [problem for count in counts for problem in count.problems][:10]:
        console.print(f"  problem: {problem}", style="red", highlight=False, soft_wrap=True)
    for line in document.verdicts:
        console.print(verdict_line(line), soft_wrap=not console.is_terminal)
    console.print(f"[bold yellow]{RESEARCH_USE_ONLY}[/]")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def _points(one: Latency) -> tuple[str, str, str, str]:
    return ms_text(one.p50_ms), ms_text(one.p95_ms), ms_text(one.p99_ms), ms_text(one.max_ms)


def _find(path: PathResult, name: str) -> Latency | None:
    return next((one for one in path.totals if one.name == name and one.count), None)
