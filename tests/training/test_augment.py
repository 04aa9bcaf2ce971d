"""Augmentation: reproducible, sized as before, and off when its strengths are zero."""

from __future__ import annotations

import numpy as np

from training.augment import augment, cut_part
from training.recipe import Augmentation, load_recipe


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 220, (height, width, 3), np.uint8)


def test_the_same_seed_gives_the_same_picture() -> None:
    by = load_recipe("ball4").augmentation
    for seed in range(20):
        first = augment(picture(40, 40), by, np.random.default_rng(seed))
        second = augment(picture(40, 40), by, np.random.default_rng(seed))
        assert np.array_equal(first, second)
        assert first.shape == (40, 40, 3)


def test_zero_strengths_change_nothing() -> None:
    by = Augmentation(flips=False)
    assert np.array_equal(augment(picture(20, 30), by, np.random.default_rng(0)), picture(20, 30))


def test_colours_change_by_a_bounded_amount() -> None:
    by = load_recipe("synthetic5").augmentation.model_copy(update={"flips": False})
    flat = np.full((32, 32, 3), 150, np.uint8)
    for seed in range(40):
        changed = augment(flat, by, np.random.default_rng(seed)).astype(float).mean(axis=(0, 1))
        assert np.abs(changed - 150).max() < 60


def test_parts_lie_inside_the_picture() -> None:
    rng = np.random.default_rng(1)
    assert cut_part(picture(40, 50), 40, 50, rng).shape == (40, 50, 3)
    for _ in range(50):
        assert cut_part(picture(40, 50), 32, 20, rng).shape == (32, 20, 3)


def test_what_a_segmentation_keeps_moves_with_the_picture_and_keeps_its_own_values() -> None:
    by = load_recipe("islam-fusion").augmentation.model_copy(update={"jpeg_share": 0.0})
    field = np.zeros((64, 64, 4), np.uint8)
    field[20:30, 12:40] = 255  # a white bar on black, and a mask that covers it exactly
    moved = 0
    for seed in range(30):
        changed = augment(field, by, np.random.default_rng(seed))
        assert changed.shape == field.shape
        bar, kept = changed[..., 0] > 127, changed[..., 3] > 127
        assert (bar != kept).mean() < 0.01
        assert changed[..., 3].max() == 255
        moved += not np.array_equal(kept, field[..., 3] > 127)
    assert moved > 20


def test_brightness_and_contrast_stay_within_their_shares() -> None:
    by = Augmentation(flips=False, brightness=0.05, contrast=0.08)
    flat = np.full((8, 8, 3), 200, np.uint8)
    most = 255 * 0.05 + 0.08 * (200 - 127.5) + 1
    for seed in range(40):
        changed = augment(flat, by, np.random.default_rng(seed)).astype(float)
        assert np.abs(changed - 200).max() <= most


def test_turning_and_shifting_leave_no_empty_border() -> None:
    by = Augmentation(flips=False, rotation_deg=30, shift=0.2, zoom=0.2, shear_deg=15)
    bright = np.full((40, 60, 3), 180, np.uint8)
    for seed in range(20):
        assert (augment(bright, by, np.random.default_rng(seed)) == 180).all()
