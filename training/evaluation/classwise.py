"""What a confusion matrix says of each class; overall and one-vs-rest accuracy never share a name; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import Interval, Numbers, macro_f1, wilson

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest."""

    images: int
    precision: Interval
    """Wilson; over the images that were answered so."""
    recall: Interval
    """Wilson; over the images of the class."""
    f1: Interval
    """Bootstrap over groups."""
    one_vs_rest: Interval
    """Wilson; share of ALL images on whose membership of this class the answer is right."""


def overall_accuracy(table: NDArray[np.int64]) -> Interval:
    """Share of all images whose class is answered, with Wilson's interval."""
    return wilson(int(table.trace()), int(table.sum()))


def one_vs_rest_accuracy(table: NDArray[np.int64], kind: int) -> Interval:
    """Share of all images on which "this class or not" is right: high wherever a class is rare."""
    total = int(table.sum())
    missed_or_false = int(table[kind].sum() + table[:, kind].sum() - 2 * table[kind, kind])
    return wilson(total - missed_or_false, total)


def f1_of(table: NDArray[np.int64], kind: int) -> float:
    """2 hits / (answers + images); 0 where the class neither occurs nor is answered."""
    total = int(table[kind].sum() + table[:, kind].sum())
    return 2 * int(table[kind, kind]) / total if total else 0.0


def group_tables(
    labels: Numbers, answers: Numbers, groups: Numbers, classes: int
) -> NDArray[np.int64]:
    """One confusion matrix per group: what the bootstrap over groups draws from."""
    members = np.unique(groups, return_inverse=True)[1]
    tables = np.zeros((int(members.max()) + 1, classes, classes), np.int64)
    np.add.at(tables, (members, labels, answers), 1)
    return tables


def drawn_tables(tables: NDArray[np.int64], draws: int = DRAWS, seed: int = 3) -> NDArray[np.int64]:
    """Confusion matrices of `draws` samples of whole groups, each as many groups as there are."""
    rng = np.random.default_rng(seed)
    count = len(tables)
    flat = tables.reshape(count, -1).astype(np.float64)
    # How often each group is drawn, times its matrix: the same sums without copying matrices.
    often = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    drawn: NDArray[np.int64] = np.rint(often @ flat).astype(np.int64)
    return drawn.reshape(draws, *tables.shape[1:])


def class_figures(
    labels: Numbers, answers: Numbers, groups: Numbers, classes: int
) -> tuple[ClassFigures, ...]:
    """All classes; an answer beyond them (the image was refused) counts as wrong everywhere."""
    tables = group_tables(labels, answers, groups, classes + 1)
    table, drawn = tables.sum(axis=0), drawn_tables(tables)
    found = []
    for kind in range(classes):
        f1s = [f1_of(one, kind) for one in drawn]
        low, high = np.percentile(f1s, [2.5, 97.5])
        hits = int(table[kind, kind])
        found.append(
            ClassFigures(
                images=int(table[kind].sum()),
                precision=wilson(hits, int(table[:, kind].sum())),
                recall=wilson(hits, int(table[kind].sum())),
                f1=Interval(f1_of(table, kind), float(low), float(high)),
                one_vs_rest=one_vs_rest_accuracy(table, kind),
            )
        )
    return tuple(found)


def macro_f1_interval(labels: Numbers, answers: Numbers, groups: Numbers, classes: int) -> Interval:
    """Macro F1 with a bootstrap interval over groups."""
    tables = group_tables(labels, answers, groups, classes + 1)
    values = [macro_f1(one) for one in drawn_tables(tables)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(macro_f1(tables.sum(axis=0)), float(low), float(high))
