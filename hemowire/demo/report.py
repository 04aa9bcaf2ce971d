"""What the demo says at its end: the checker's counts in words and as JSON, with the stage times beside them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dashboard.metrics.spool import Spool, SpoolError
from dashboard.words import with_warning
from hemowire.demo.check import Verdict
from hemowire.demo.house import House
from hemowire.demo.progress import TOTAL, Progress
from wire_protocol.messages import Outcome
from wire_protocol.words import RESEARCH_USE_ONLY

#: Looking drops nothing, whatever the bound of the program that wrote.
_ANY_SIZE = 1 << 60


def result_json(verdict: Verdict, progress: Progress, images_per_s: float) -> dict[str, Any]:
    """The document of `--json`; counts and diagnoses are the checker's, stages the trace's."""
    return {
        "captured": verdict.captured,
        "recorded": verdict.recorded,
        "rejected": verdict.rejected,
        "dropped": verdict.dropped,
        "held": verdict.held,
        "lost": verdict.lost,
        "duplicates": verdict.duplicates,
        "images_per_s": round(images_per_s, 3),
        "stages": {
            name: {key: round(value, 3) for key, value in asdict(figures).items()}
            for name, figures in progress.figures().items()
        },
        "diagnoses": [
            {
                "image_id": image.outcome.image_id,
                "source": original(image.source),
                "result": image.outcome.result,
                "reason": image.outcome.reason,
                "probabilities": image.outcome.probabilities,
                "urgency": image.outcome.urgency,
                "bundle": image.outcome.bundle,
                "engine": image.outcome.engine,
                "text": image.outcome.text,
            }
            for image in verdict.images
            if image.outcome.outcome == Outcome.DIAGNOSED
        ],
        "rejections": [
            {
                "image_id": image.outcome.image_id,
                "source": original(image.source),
                "reason": image.outcome.reason,
                "text": image.outcome.text,
            }
            for image in verdict.images
            if image.outcome.outcome == Outcome.REJECTED
        ],
        "problems": list(verdict.problems),
        "notice": RESEARCH_USE_ONLY,
    }


def original(source: str) -> str:
    """The user's own file behind the demo's link; a simulated field keeps its name."""
    path = Path(source)
    return str(path.resolve()) if path.is_symlink() else source


def print_verdict(
    console: Console, verdict: Verdict, progress: Progress, house: House, restarts: int
) -> None:
    """The last screen: figures per stage, counts from the files, where everything lies."""
    table = Table(title="time per stage, milliseconds", title_justify="left", box=None)
    for name in ("stage", "images", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, figures in progress.figures().items():
        table.add_row(
            "scheduled to published" if name == TOTAL else name,
            str(figures.count),
            *(f"{ms:.1f}" for ms in (figures.p50_ms, figures.p95_ms, figures.p99_ms)),
            style="bold" if name == TOTAL else "",
        )
    if house.options.images is None:
        table.caption = "captured includes drawing the simulated field"
        table.caption_justify = "left"
    console.print(table)
    counts = (
        f"captured {verdict.captured} = recorded {verdict.recorded} + rejected {verdict.rejected}"
        if verdict.is_clean
        else f"captured {verdict.captured}, recorded {verdict.recorded}, "
        f"rejected {verdict.rejected}, held in the outbox {verdict.held}"
    )
    console.print(
        f"\n[bold]{counts}; lost {verdict.lost}, duplicates {verdict.duplicates}[/]"
        "  (counted from outboxes, archive and records)",
        soft_wrap=True,
    )
    for image in verdict.images:
        if image.outcome.outcome == Outcome.REJECTED:
            console.print(
                f"  rejected: {original(image.source)}: {with_warning(image.outcome.text)}",
                highlight=False,
                soft_wrap=True,
            )
    if restarts:
        console.print(f"  programs that had to be started again: {restarts}")
    for problem in verdict.problems[:20]:
        console.print(f"  [red]problem:[/] {problem}", highlight=False, soft_wrap=True)
    console.print(_where_points_are(house), highlight=False, soft_wrap=True)
    console.print(
        f"  bundle {house.bundle.name}; files and logs in {house.folder} (delete it when done)",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"[bold yellow]{RESEARCH_USE_ONLY}[/]")


def _where_points_are(house: House) -> str:
    """Traces and counters: how many points lie in files, or which server has them."""
    files = f"line protocol in {house.points}/points-*.lp (influx write --file takes them)"
    try:
        spool = Spool(house.points, _ANY_SIZE)
    except SpoolError as error:
        return f"  metrics: {error}"
    waiting = spool.waiting
    spool.close()
    if house.options.influx is None:
        return f"  metrics: {waiting} points as {files}"
    if waiting:
        return f"  metrics: {waiting} points did not reach {house.options.influx}; {files}"
    return f"  metrics: every point is in {house.options.influx}"
