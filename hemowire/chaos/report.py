"""What a run says at its end: the verdict in words and as JSON, from its history alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from hemowire.chaos.checker import Wrong, check
from hemowire.chaos.delays import delays
from hemowire.chaos.history import Begin, Event
from wire_protocol.words import RESEARCH_USE_ONLY

_MOST_PROBLEMS = 30


def report(events: Sequence[Event], folder: Path, json_file: Path | None) -> int:
    """Judges, prints the verdict, writes the document where one is wanted; returns the exit code."""
    console = Console()
    verdict, took = check(events), delays(events)
    seed = next((event.seed for event in events if isinstance(event, Begin)), None)
    seconds = events[-1].at_s if events else 0.0
    counts = (
        f"{verdict.captured} images through {verdict.faults} faults in {seconds:.0f} s: "
        f"{verdict.diagnosed} recorded once with equal bytes, "
        f"{verdict.rejected} rejected for a reason that the operator can read"
    )
    if verdict.set_aside:
        counts += (
            f", {verdict.set_aside} of copied cards set aside, as another image has their place, "
            "and shown to the operator"
        )
    if verdict.is_clean:
        console.print(f"[bold green]Nothing is lost.[/] {counts} (seed {seed}).", soft_wrap=True)
    else:
        found = ", ".join(f"{w.value} {verdict.count(w)}" for w in Wrong if verdict.count(w))
        console.print(f"[bold red]The promise is broken: {found}.[/] {counts}.", soft_wrap=True)
        for problem in verdict.problems[:_MOST_PROBLEMS]:
            console.print(
                f"  {problem.wrong}: {problem.text}", highlight=False, markup=False, soft_wrap=True
            )
        if len(verdict.problems) > _MOST_PROBLEMS:
            console.print(f"  and {len(verdict.problems) - _MOST_PROBLEMS} more")
    if took is not None:
        console.print(
            f"From the camera's folder to the record: p50 {took.p50_s} s, p95 {took.p95_s} s, "
            f"the slowest {took.max_s} s.",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"History, logs and files: {folder}", highlight=False, soft_wrap=True)
    console.print(RESEARCH_USE_ONLY)
    if json_file is not None:
        document = {
            "schema": "hemowire.chaos",
            "version": 1,
            "seed": seed,
            "seconds": round(seconds, 1),
            "is_clean": verdict.is_clean,
            **{k: v for k, v in asdict(verdict).items() if k != "problems"},
            "delays": None if took is None else asdict(took),
            "problems": [asdict(problem) for problem in verdict.problems],
            "notice": RESEARCH_USE_ONLY,
        }
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 0 if verdict.is_clean else 1
