"""How often people and the AI say the same, as a table for a terminal or for machines; it counts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from wire_protocol.words import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    from dashboard.review.agreement import Agreement, Share


def show_table(table: Agreement) -> None:
    """On the terminal."""
    console = Console()
    seen = "had seen" if table.ai_seen else "had not seen"
    if not table.counts:
        console.print(f"Readers who {seen} the AI's answer: no signed case.")
        return
    columns = sorted({ai for ai, _ in table.counts})
    grid = Table(title=f"Readers who {seen} the AI's answer (cases)")
    grid.add_column("person says \\ AI said")
    for name in columns:
        grid.add_column(name.replace("_", " "), justify="right")
    grid.add_column("same", justify="right")
    for person in sorted({person for _, person in table.counts}):
        counts = [str(table.counts.get((ai, person), 0)) for ai in columns]
        share = table.by_finding.get(person)
        grid.add_row(person.replace("_", " "), *counts, "-" if share is None else _words(share))
    console.print(grid)
    console.print(
        f"same finding {_words(table.same)}, same urgency {_words(table.same_urgency)}; "
        f"the AI could not say in {table.abstained}. {RESEARCH_USE_ONLY}"
    )


def _words(share: Share) -> str:
    if share.interval is None:
        return "0 of 0"
    low, high = share.interval
    return f"{share.agreed} of {share.total} ({low:.2f} to {high:.2f})"


def plain_table(table: Agreement) -> dict[str, object]:
    """For JSON."""

    def plain(share: Share) -> dict[str, object]:
        return {"agreed": share.agreed, "total": share.total, "interval_95": share.interval}

    return {
        "ai_seen": table.ai_seen,
        "counts": [
            {"ai": ai, "person": person, "cases": count}
            for (ai, person), count in sorted(table.counts.items())
        ],
        "same": plain(table.same),
        "same_urgency": plain(table.same_urgency),
        "by_finding": {name: plain(share) for name, share in table.by_finding.items()},
        "by_week": {name: plain(share) for name, share in table.by_week.items()},
        "abstained": table.abstained,
    }
