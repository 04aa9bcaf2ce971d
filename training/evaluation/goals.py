"""The goals of the out-of-distribution tests at 90 % coverage, and which of them a score reaches; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from training.evaluation.document import OodFigure, OodScore

COVERAGE: Final = 0.90


@dataclass(frozen=True, slots=True)
class Goal:
    """One test's goal; every set of images of the test must reach it, unless it is of their mean."""

    test: str
    words: str
    is_reached: Callable[[Sequence[OodFigure]], bool]


GOALS: Final = (
    Goal("a", "(a) at least 95 % of each foreign set rejected",
         lambda found: all(one.value >= 0.95 for one in found)),
    Goal("b", "(b) at least 90 % of each matched set rejected",
         lambda found: all(one.value >= 0.90 for one in found)),
    Goal("c", "(c) at least 60 % rejected, under 5 % called leukemic",
         lambda found: all(
             one.value >= 0.60 and (one.called_leukemic or 0.0) < 0.05 for one in found)),
    Goal("d", "(d) mean AUROC at least 0.85",
         lambda found: sum(one.value for one in found) / len(found) >= 0.85),
    Goal("e", "(e) at least 85 % kept under each nuisance and of the held-out fifths together",
         lambda found: all(one.value >= 0.85 for one in found)),
)  # fmt: skip


def judged_goals(score: OodScore) -> dict[str, bool | None]:
    """Test -> whether its goal is reached; None where it was not run."""
    verdicts: dict[str, bool | None] = {}
    for goal in GOALS:
        found = [one for one in score.figures if one.test == goal.test]
        verdicts[goal.test] = goal.is_reached(found) if found else None
    return verdicts
