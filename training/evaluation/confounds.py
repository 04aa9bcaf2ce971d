"""Confound tests: how far the class can be told without looking at cells, and whether it is the source.

Every machine is fitted on other groups than those it answers. It says "not identifiable" instead of a
figure where classes never share a source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.baseline import answer_by_colour
from training.evaluation.clues import Clues
from training.evaluation.document import ConfoundRow, Share
from training.metrics import Interval, Numbers, balanced_accuracy_interval

FOLDS = 5
_FEWEST = 10
"""Images of a class, below which a machine learns nothing."""


def answer_across_groups(
    clues: NDArray[np.float64], labels: Numbers, groups: Numbers, folds: int = FOLDS
) -> Numbers | None:
    """Each image's class by a machine that saw no image of its group; None where there are too few."""
    names = np.unique(groups)
    if len(names) < folds or np.unique(labels, return_counts=True)[1].min() < 2:
        return None
    fold_of = np.random.default_rng(9).permutation(len(names)) % folds
    fold = fold_of[np.searchsorted(names, groups)]
    answers = np.zeros(len(labels), np.int64)
    for number in range(folds):
        train, test = fold != number, fold == number
        if len(np.unique(labels[train])) < 2:
            return None
        if test.any():
            answers[test] = answer_by_colour(clues[train], labels[train], clues[test])
    return answers


def confound_rows(
    clues: Sequence[Clues], labels: Numbers, groups: Numbers, sources: Sequence[str]
) -> tuple[ConfoundRow, ...]:
    """All tests on these images."""
    rows = [
        _row(name, words, np.stack([getattr(one, part) for one in clues]), labels, groups)
        for name, words, part in (
            ("mean RGB", "the network's view, averaged to three numbers", "mean_rgb"),
            ("corner only", "the bottom-right corner as it is in the file", "corner"),
            ("corner only, as seen", "the same corner as the network sees it", "seen_corner"),
            (
                "background only",
                "colour and grain of pixels far from any cell",
                "background",
            ),
        )
    ]
    colours = np.stack([one.mean_rgb for one in clues])
    return (*rows, *source_rows(colours, labels, groups, sources))


def source_rows(
    colours: NDArray[np.float64], labels: Numbers, groups: Numbers, sources: Sequence[str]
) -> tuple[ConfoundRow, ...]:
    """Whether the source can be told from the colour, and whether it can be held apart from the class."""
    names = sorted(set(sources))
    if len(names) < 2:
        only = f"all images come from {names[0]}" if names and names[0] else "no source is known"
        return (
            unknown_row("source classifier", f"not identifiable: {only}"),
            unknown_row("leave one source out", f"not identifiable: {only}"),
        )
    numbers = np.array([names.index(source) for source in sources], np.int64)
    shared = [kind for kind in np.unique(labels) if len(np.unique(numbers[labels == kind])) >= 2]
    if not shared:
        words = "not identifiable: no class comes from two sources, so the class IS the source"
        return (
            _row(
                "source classifier", "the source from mean RGB; " + words, colours, numbers, groups
            ),
            unknown_row("leave one source out", words),
        )
    within = np.isin(labels, shared)
    asked = _row(
        "source classifier",
        f"the source from mean RGB, within the {len(shared)} classes that share sources",
        colours[within],
        numbers[within],
        groups[within],
    )
    return asked, _leave_one_out(colours, labels, groups, numbers, names)


def _leave_one_out(
    colours: NDArray[np.float64],
    labels: Numbers,
    groups: Numbers,
    numbers: Numbers,
    names: Sequence[str],
) -> ConfoundRow:
    answers = np.full(len(labels), -1, np.int64)
    for number in range(len(names)):
        train, test = numbers != number, numbers == number
        known = np.isin(labels, np.unique(labels[train])) & test
        if len(np.unique(labels[train])) > 1 and known.any():
            answers[known] = answer_by_colour(colours[train], labels[train], colours[known])
    judged = answers >= 0
    if not judged.any() or len(np.unique(labels[judged])) < 2:
        return unknown_row(
            "leave one source out", "not identifiable: no class is left in two sources"
        )
    words = "mean RGB, fitted on all sources but the one answered"
    return figure_row(
        "leave one source out", words, labels[judged], answers[judged], groups[judged]
    )


def _row(
    name: str,
    words: str,
    clues: NDArray[np.float64],
    labels: Numbers,
    groups: Numbers,
) -> ConfoundRow:
    if len(labels) < _FEWEST or len(np.unique(labels)) < 2:
        return unknown_row(
            name, f"not measured: {len(labels)} images, {_FEWEST} of two classes needed"
        )
    answers = answer_across_groups(clues, labels, groups)
    if answers is None:
        return unknown_row(name, "not measured: too few groups to keep apart")
    return figure_row(name, words, labels, answers, groups)


def figure_row(
    name: str, words: str, labels: Numbers, answers: Numbers, groups: Numbers
) -> ConfoundRow:
    """Balanced accuracy of these answers, with its interval over groups."""
    classes = int(max(labels.max(), answers.max())) + 1
    found = balanced_accuracy_interval(labels, answers, groups, classes)
    return ConfoundRow(
        name=name,
        words=words,
        balanced_accuracy=share_of(found),
        chance=1 / len(np.unique(labels)),
    )


def unknown_row(name: str, words: str) -> ConfoundRow:
    """A test without a figure; the words say why."""
    return ConfoundRow(name=name, words=words, balanced_accuracy=None, chance=None)


def share_of(interval: Interval) -> Share:
    """For the document; a share of nothing has no value."""
    value = None if np.isnan(interval.value) else interval.value
    return Share(value=value, low=interval.low, high=interval.high)
