"""Foreign images are matched, cells laid and nuisances applied as the tests say, pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.evaluation.foreign_images import (
    NUISANCES,
    Look,
    cut_cells,
    look_of,
    matched,
    resized,
    transplanted,
    white_balance,
    without_cells,
)

RNG = np.random.default_rng(2)


def scene(
    colour: tuple[int, int, int], cells: list[tuple[int, int]], radius: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """A bright field of some grain with discs, and their mask."""
    image = np.full((96, 128, 3), (235, 230, 240), np.float64) + RNG.normal(0, 2, (96, 128, 3))
    mask = np.zeros((96, 128), np.uint8)
    for x, y in cells:
        cv2.circle(mask, (x, y), radius, 1, -1)
    image[mask > 0] = colour
    return np.clip(image, 0, 255).astype(np.uint8), mask > 0


def test_matching_gives_size_mean_and_deviation_and_keeps_the_content() -> None:
    image, _ = scene((120, 60, 160), [(60, 40)])
    to = Look(np.array([150.0, 120.0, 180.0]), np.array([12.0, 14.0, 10.0]))
    made = matched(image, to, 60, 70)
    assert made.shape == (60, 70, 3)
    assert look_of(made).mean == pytest.approx(to.mean, abs=2.0)
    assert look_of(made).deviation == pytest.approx(to.deviation, abs=2.5)
    as_it_was = resized(image, 60, 70)
    assert np.corrcoef(made[..., 1].ravel(), as_it_was[..., 1].ravel())[0, 1] > 0.95


def test_cells_of_another_field_take_the_light_of_the_place_they_come_to() -> None:
    theirs, their_mask = scene((60, 30, 120), [(30, 30), (90, 60)])
    ours, our_mask = scene((150, 90, 170), [(40, 50)])
    ours = white_balance(ours, (1.0, 1.0, 0.8))
    cells = cut_cells(theirs, their_mask)
    assert len(cells) == 2
    made = transplanted(ours, our_mask, cells, 1.0, np.random.default_rng(0))
    light = np.percentile(ours.reshape(-1, 3), 90, axis=0)
    expected = np.array([60, 30, 120]) / np.percentile(theirs.reshape(-1, 3), 90, axis=0) * light
    assert made[48:53, 38:43].reshape(-1, 3).mean(axis=0) == pytest.approx(expected, abs=4)
    far = np.ones(our_mask.shape, bool)
    far[25:75, 15:65] = False
    assert np.array_equal(made[far], ours[far])


def test_a_scaled_cell_covers_as_many_pixels_as_it_would_at_that_scale() -> None:
    theirs, their_mask = scene((60, 30, 120), [(40, 40)], radius=20)
    ours, our_mask = scene((150, 90, 170), [(64, 48)], radius=6)
    made = transplanted(ours, our_mask, cut_cells(theirs, their_mask), 0.5, RNG)
    dark = made[..., 1] < 120
    assert dark.sum() == pytest.approx(their_mask.sum() / 4, rel=0.15)


def test_a_field_without_its_cells_has_none_left() -> None:
    ours, mask = scene((150, 90, 170), [(40, 50), (90, 30)])
    assert without_cells(ours, mask)[mask].mean() > 215


@pytest.mark.parametrize("name", NUISANCES)
def test_a_nuisance_changes_pixels_and_neither_size_nor_type(name: str) -> None:
    image, _ = scene((120, 60, 160), [(60, 40)])
    made = NUISANCES[name](image)
    assert made.shape == image.shape and made.dtype == np.uint8
    assert not np.array_equal(made, image)
