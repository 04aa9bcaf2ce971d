"""Confound tests find what is planted, stay at chance where nothing is, and refuse what cannot be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_worker.models.card import Preprocessing
from training.evaluation.clues import Clues, read_clues
from training.evaluation.confounds import answer_across_groups, confound_rows
from training.evaluation.document import ConfoundRow

SHAPE = Preprocessing(
    height_px=96, width_px=96, um_per_px=0.5, mean=(0.8, 0.8, 0.9), std=(0.2, 0.2, 0.2),
    masked_corner_px=20,
)  # fmt: skip
LABELS = np.arange(120) % 3
GROUPS = np.arange(120) // 3


def field(number: int, *, tint: int = 0, bar: int = 0) -> np.ndarray:
    """A bright field with dark discs; a tint of all of it, or a bar in its corner."""
    rng = np.random.default_rng(number)
    image = rng.normal(225, 3, (96, 96, 3))
    for _ in range(4):
        y, x = rng.integers(15, 75, 2)
        image[y - 6 : y + 6, x - 6 : x + 6] = (120, 60, 150)
    image[..., 2] -= tint
    if bar:
        image[-8:-4, -4 * bar :] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def rows_of(clues: list[Clues], sources: list[str] | None = None) -> dict[str, ConfoundRow]:
    return {row.name: row for row in confound_rows(clues, LABELS, GROUPS, sources or [])}


def value(row: ConfoundRow) -> float:
    assert row.balanced_accuracy is not None and row.balanced_accuracy.value is not None
    return row.balanced_accuracy.value


@pytest.fixture(scope="module")
def plain() -> list[Clues]:
    return [read_clues(field(n), SHAPE) for n in range(120)]


def test_nothing_planted_is_at_chance(plain: list[Clues]) -> None:
    rows = rows_of(plain)
    for name in ("mean RGB", "corner only", "corner only, as seen", "background only"):
        found = rows[name].balanced_accuracy
        assert found is not None
        assert found.low <= 1 / 3, name
        assert rows[name].chance == pytest.approx(1 / 3)


def test_a_tint_by_class_is_found_by_colour_and_by_background() -> None:
    clues = [read_clues(field(n, tint=12 * int(k)), SHAPE) for n, k in enumerate(LABELS)]
    rows = rows_of(clues)
    assert value(rows["mean RGB"]) > 0.9
    assert value(rows["background only"]) > 0.9


def test_a_scale_bar_by_class_is_found_in_the_corner_and_hidden_by_the_mask() -> None:
    clues = [read_clues(field(n, bar=1 + int(k)), SHAPE) for n, k in enumerate(LABELS)]
    rows = rows_of(clues)
    assert value(rows["corner only"]) > 0.9
    seen = rows["corner only, as seen"].balanced_accuracy
    assert seen is not None and seen.value == pytest.approx(1 / 3, abs=0.05)


def test_the_background_does_not_see_how_large_the_cells_are() -> None:
    def with_cells(number: int, half: int) -> np.ndarray:
        image = np.random.default_rng(number).normal(225, 3, (96, 96, 3))
        image[40 - half : 40 + half, 40 - half : 40 + half] = (120, 60, 150)
        return np.clip(image, 0, 255).astype(np.uint8)

    clues = [read_clues(with_cells(n, 6 + 4 * int(k)), SHAPE) for n, k in enumerate(LABELS)]
    rows = rows_of(clues)
    assert value(rows["mean RGB"]) > 0.9
    assert value(rows["background only"]) < 0.55


def test_a_class_that_is_its_source_is_not_identifiable(plain: list[Clues]) -> None:
    rows = rows_of(plain, [f"lab {label}" for label in LABELS])
    assert rows["leave one source out"].balanced_accuracy is None
    assert "not identifiable" in rows["leave one source out"].words
    assert "the class IS the source" in rows["source classifier"].words


def test_one_source_and_none_are_not_identifiable(plain: list[Clues]) -> None:
    assert "all images come from A" in rows_of(plain, ["A"] * 120)["source classifier"].words
    assert "no source is known" in rows_of(plain)["source classifier"].words


def test_two_sources_shared_by_classes_are_told_apart_where_their_colours_differ() -> None:
    sources = [("A", "B")[(n // 3) % 2] for n in range(120)]
    clues = [read_clues(field(n, tint=20 * (s == "B")), SHAPE) for n, s in enumerate(sources)]
    rows = rows_of(clues, sources)
    assert value(rows["source classifier"]) > 0.95
    found = rows["leave one source out"].balanced_accuracy
    assert found is not None and found.value is not None and found.value < 0.6


def test_a_group_is_never_on_both_sides() -> None:
    """With a clue that names the group only, an honest machine learns nothing."""
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(40), 3)
    labels = np.repeat(rng.integers(0, 2, 40), 3)
    clues = np.repeat(rng.normal(0, 1, (40, 3)) * 5, 3, axis=0)
    honest = answer_across_groups(clues, labels, names)
    leaky = answer_across_groups(clues, labels, np.arange(120))
    assert honest is not None and leaky is not None
    assert (leaky == labels).mean() > 0.85
    assert (honest == labels).mean() < 0.70


def test_too_few_groups_give_no_figure() -> None:
    labels = np.arange(12) % 2
    assert answer_across_groups(np.zeros((12, 3)), labels, np.zeros(12, np.int64)) is None
