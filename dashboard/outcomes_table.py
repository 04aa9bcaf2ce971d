"""Shows images and their outcomes as a table for people; it reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from dashboard.outcomes import OutcomeRow
from dashboard.words import RESEARCH_USE_ONLY, probability_words, urgency_mark


def outcomes_table(rows: Sequence[OutcomeRow]) -> Table:
    """One line per image, in the order given."""
    table = Table(title=f"{len(rows)} images", caption=RESEARCH_USE_ONLY)
    for name in ("device", "seq", "image", "outcome", "urgency", "text", "probabilities", "model"):
        table.add_column(name, justify="right" if name == "seq" else "left")
    for row in rows:
        table.add_row(
            row.device,
            str(row.seq),
            row.image_id[-6:],
            row.outcome,
            urgency_mark(row.urgency),
            Text(row.text),
            Text(probability_words(row.probabilities)),
            Text(row.bundle),
        )
    return table
