"""The table of `hemowire bench compare`: what changed first, then what did not; it judges nothing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.load.compare import Change, Comparison, Line
from wire_protocol.words import RESEARCH_USE_ONLY

_STYLES = {
    Change.BETTER: "green",
    Change.WORSE: "bold red",
    Change.SAME: "dim",
    Change.UNKNOWN: "yellow",
}


def print_comparison(comparison: Comparison, a: str, b: str) -> None:
    """Prints the comparison of files `a` and `b`."""
    console = Console()
    console.print(f"[bold]{a}[/] -> [bold]{b}[/]", highlight=False, soft_wrap=True)
    for difference in comparison.differences:
        console.print(
            f"NOT THE SAME {difference}", style="bold yellow", highlight=False, soft_wrap=True
        )
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for name in ("before", "after", "change", "95 % interval, %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in sorted(comparison.lines, key=lambda one: one.change is Change.SAME):
        table.add_row(*_cells(line), style=_STYLES[line.change])
    console.print(table)
    found = {change: sum(one.change is change for one in comparison.lines) for change in Change}
    console.print(
        ", ".join(f"{count} {change.value}" for change, count in found.items() if count)
        or "no figure is in both",
        style="bold",
        highlight=False,
    )
    for doubt in comparison.doubts:
        console.print(f"may be the machine: {doubt}", style="yellow", highlight=False)
    console.print(f"[bold yellow]{RESEARCH_USE_ONLY}[/]")


def _cells(line: Line) -> tuple[str, ...]:
    scale = 1e6 if line.unit in ("B", "B/s") else 1.0
    unit = f"M{line.unit}" if scale > 1 else line.unit
    percent = 100 / line.before if line.before else 0.0
    return (
        _words(line.measure),
        f"{line.before / scale:,.2f}",
        f"{line.after / scale:,.2f} {unit}",
        f"{(line.after - line.before) * percent:+.1f} %",
        f"{line.low * percent:+.1f} to {line.high * percent:+.1f}",
        "" if line.change is Change.SAME else line.change.value,
    )


def _words(name: str) -> str:
    """A measure's name as people say it."""
    text = name.removeprefix("total.").removeprefix("program.").removesuffix("_ms")
    return text.replace("_", " ").replace(".", " ").replace(" less", ", less")
