"""The demo's terminal: one line per image, figures per stage, totals; it only draws what `Progress` holds."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dashboard.words import urgency_mark, urgency_word, with_warning
from hemowire.demo.progress import TOTAL, ImageProgress, Progress
from wire_protocol.json_messages import Diagnosis, Presence, Urgency
from wire_protocol.trace import Stage
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, percent

SIDE_BY_SIDE = 116


def draw(
    progress: Progress,
    *,
    title: str,
    subtitle: str,
    expected: int | None,
    width: int,
    height: int,
    page: str = "",
) -> RenderableType:
    """The whole screen for a terminal of `width` x `height` characters."""
    figures = _stages(progress)
    wide = width >= SIDE_BY_SIDE
    rows = max(4, height - 10 if wide else height - 12 - figures.row_count)
    if page:
        rows = max(4, rows - 2)
    images = _images(progress, rows, wide)
    head = _totals(progress, expected)
    if wide:
        body = Table.grid(expand=True, padding=(0, 2))
        body.add_column(ratio=3)
        body.add_column(ratio=2)
        body.add_row(images, figures)
        parts: list[RenderableType] = [head, body]
    else:
        parts = [head, images, figures]
    if page:
        parts.append(Text(page, style="bold", overflow="fold"))
    return Panel(
        Group(*parts),
        title=f"[bold]{title}[/]",
        subtitle=f"[bold yellow]{RESEARCH_USE_ONLY}[/] {subtitle}",
        padding=(0, 1),
    )


def line(image: ImageProgress) -> str:
    """One image as plain text, for logs and pipes; its diagnosis comes before its trace."""
    diagnosis, rejection = image.diagnosis, image.rejection
    took = f"{diagnosis.latency_ms:.0f} ms" if diagnosis and diagnosis.latency_ms else ""
    text = diagnosis.text if diagnosis else with_warning(rejection.text) if rejection else ""
    urgency = diagnosis.urgency if diagnosis else Urgency.RETAKE
    return f"{image.device:<9} {image.image_id[-6:]} {took:>8}  {urgency_word(urgency):<22} {text}"


def _totals(progress: Progress, expected: int | None) -> RenderableType:
    of = f" of {expected}" if expected else ""
    held = {
        device: sum(n for state, n in health.counts.items() if state in ("waiting", "sending"))
        for device, health in sorted(progress.health.items())
    }
    stored = sum(health.counts.get("stored", 0) for health in progress.health.values())
    text = Text()
    text.append(f"captured {progress.captured}{of}   ", "bold")
    text.append(f"recorded {progress.recorded}   ", "bold green")
    text.append(f"rejected {progress.rejected}   ", "bold cyan" if progress.rejected else "")
    for urgency in Urgency:
        if progress.urgencies[urgency]:
            text.append(urgency_mark(urgency))
            text.append(f" {progress.urgencies[urgency]}   ", "bold")
    text.append("\nqueues  ", "dim")
    text.append(
        "  ".join(f"{device} {n}" for device, n in held.items()) or "-", "" if held else "dim"
    )
    text.append(f"   awaiting records {stored}   ", "dim")
    for name, status in sorted(progress.statuses.items()):
        if status.state is Presence.OFFLINE and status.reason != "stopped":
            text.append(f"{name} offline ({status.reason})  ", "bold yellow")
    return text


def _images(progress: Progress, rows: int, wide: bool) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("device", no_wrap=True)
    table.add_column("image", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    table.add_column("result", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("urgency", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for image in progress.latest(rows):
        diagnosis, rejection = image.diagnosis, image.rejection
        urgency = Text()
        result, probability = "", ""
        if diagnosis is not None:
            urgency = urgency_mark(diagnosis.urgency)
            result = class_word(diagnosis.result)
            if diagnosis.reason:
                result = str(diagnosis.reason).replace("_", " ")
            probability = _probability(diagnosis)
        elif rejection is not None:
            urgency = urgency_mark(Urgency.RETAKE)
            result = f"rejected: {str(rejection.reason).replace('_', ' ')}"
        stage = image.stage
        table.add_row(
            image.device,
            image.image_id[-6:],
            Text(stage.value if stage else "-", "green" if stage is Stage.RECORDED else ""),
            result,
            probability,
            urgency,
            f"{image.total_ms:.0f}" if image.total_ms is not None else "",
        )
    return table


def _stages(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("stage", no_wrap=True)
    for name in ("p50 ms", "p95", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, figures in progress.figures().items():
        style = "bold" if name == TOTAL else ""
        table.add_row(
            "scheduled → published" if name == TOTAL else name,
            *(f"{ms:.1f}" for ms in (figures.p50_ms, figures.p95_ms, figures.p99_ms)),
            style=style,
        )
    return table


def _probability(diagnosis: Diagnosis) -> str:
    """The probability of the result itself, at most ">99 %"."""
    values = [v for v in diagnosis.probabilities().values() if v is not None]
    if not values:
        return "-"
    chosen = diagnosis.p_acute if diagnosis.urgency is Urgency.SUSPECTED_ACUTE else max(values)
    return percent(chosen or 0.0)
