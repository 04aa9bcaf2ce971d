"""The out-of-distribution tests as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from training.evaluation.document import OodTable
from training.evaluation.goals import GOALS, judged_goals
from training.evaluation.page.figure_tables import (
    TEST_WORDS,
    figure_text,
    ordered_scores,
    places_of_tests,
)


def ood_tables(found: OodTable) -> list[Table]:
    """One row per test and set of images, one column per score; then the goals."""
    scores = ordered_scores(found)
    names = [f"{s.kind} *" if s.is_carried else s.kind for s in scores]
    tests = Table(
        "test",
        "images",
        *names,
        title=f"percent, behind the stroke called leukemic; (d) AUROC; at {found.coverage:.0%} "
        "coverage; * carried by the bundle",
    )
    last = ""
    for test, on in places_of_tests(found):
        if test != last:
            tests.add_section()
            tests.add_row(TEST_WORDS[test])
            last = test
        own = [[f for f in s.figures if (f.test, f.on) == (test, on)] for s in scores]
        count = next(f.images for cell in own for f in cell)
        tests.add_row(
            f"  {on}", str(count), *(figure_text(cell[0]) if cell else "" for cell in own)
        )
    goals = Table("goal", *names)
    words = {True: "reached", False: "not reached", None: "not measured"}
    for goal in GOALS:
        goals.add_row(goal.words, *(words[judged_goals(s)[goal.test]] for s in scores))
    return [tests, goals]
