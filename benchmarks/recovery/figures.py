"""Percentiles of repeats beside their targets; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Below so many repeats a p95 is the slowest of them, and is called that.
LEAST_FOR_P95 = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of one thing, measured again and again."""

    name: str
    seconds: tuple[float, ...]
    #: What the p95 may be; None where the line is only told.
    target_s: float | None = None
    note: str = ""

    @property
    def p95_s(self) -> float:
        """The p95, or the slowest where there are too few."""
        return rank(self.seconds, 0.95) if len(self.seconds) >= LEAST_FOR_P95 else max(self.seconds)

    @property
    def is_missed(self) -> bool:
        """Whether there is a target and it was not reached."""
        return self.target_s is not None and self.p95_s > self.target_s

    def row(self) -> str:
        """A line of a Markdown table."""
        slow = f"{self.p95_s:.2f}"
        if len(self.seconds) < LEAST_FOR_P95:
            slow += " (slowest)"
        if self.target_s is None:
            verdict, target = "", "-"
        else:
            verdict, target = ("missed" if self.is_missed else "met"), f"{self.target_s:g}"
        cells = (
            self.name, str(len(self.seconds)), f"{rank(self.seconds, 0.5):.2f}", slow,
            f"{max(self.seconds):.2f}", target, verdict, self.note,
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| | repeats | p50, s | p95, s | slowest, s | target of p95, s | | |\n"
    "|---|---|---|---|---|---|---|---|"
)


def rank(values: Sequence[float], share: float) -> float:
    """The value below which (nearest rank) that share lies."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
