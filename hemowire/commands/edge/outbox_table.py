"""The table that `hemowire edge outbox list` prints; it reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edge_device.outbox.listing import Listed


def print_table(found: Sequence[Listed]) -> None:
    """Number, state, age, size, case, priority and why it was refused; ids are in `--json`."""
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("number", "right"),
        ("state", "left"),
        ("age", "right"),
        ("KB", "right"),
        ("case", "left"),
        ("priority", "left"),
        ("why", "left"),
    ):
        table.add_column(
            name, justify="right" if justify == "right" else "left", no_wrap=name != "why"
        )
    for one in found:
        row = one.row
        table.add_row(
            str(row.seq),
            row.state if row.outcome is None else f"{row.state}: {row.outcome}",
            _age(one.age_s),
            f"{row.size_bytes / 1000:.0f}" if row.bytes_held else "-",
            row.case_id,
            row.priority,
            row.refusal.text if row.refusal is not None else row.override_reason,
        )
    console = Console(soft_wrap=True)
    console.print(table)
    size = sum(one.row.size_bytes for one in found if one.row.bytes_held)
    console.print(f"{len(found)} images, {size / 1e6:.1f} MB; ages are running time of the agent")


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
