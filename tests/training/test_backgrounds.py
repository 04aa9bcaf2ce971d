"""Exchanged backgrounds: their colours become another field's, white cells keep theirs, and colour tells no class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing
from training.backgrounds import background_colours, with_background
from training.batches import Batches, Lesson
from training.recipe import (
    RECIPES,
    Augmentation,
    RecipeError,
    Stage,
    check_network,
    load_recipe,
)

CELL = slice(20, 40)
VIOLET = (120, 60, 170)


def field(red_cells: tuple[int, int, int], glass: int, seed: int) -> NDArray[np.uint8]:
    """64,64,4: glass with red cells of one colour, and one violet white cell."""
    rng = np.random.default_rng(seed)
    tile = np.full((64, 64, 4), glass, np.uint8)
    tile[..., 3] = 0
    tile[rng.random((64, 64)) < 0.4, :3] = red_cells
    tile[CELL, CELL, :3] = VIOLET
    tile[CELL, CELL, 3] = 255
    return tile


PINK = field((200, 150, 160), 245, 1)
BLUE = field((155, 150, 180), 225, 2)


def test_a_background_takes_on_the_others_colours_and_cells_keep_theirs() -> None:
    pink, blue = background_colours(PINK), background_colours(BLUE)
    assert pink is not None and blue is not None
    mixed = with_background(PINK, pink, blue)
    assert mixed.shape == PINK.shape and mixed.dtype == np.uint8
    assert np.array_equal(mixed[..., 3], PINK[..., 3])
    assert np.array_equal(mixed[24:36, 24:36, :3], PINK[24:36, 24:36, :3])
    far = np.ones((64, 64), bool)
    far[14:46, 14:46] = False
    gap = np.abs(mixed[far, :3].mean(0) - BLUE[far, :3].mean(0))
    before = np.abs(PINK[far, :3].mean(0) - BLUE[far, :3].mean(0))
    assert gap.max() < 4
    assert before.max() > 10
    # Where a red cell was, one still is.
    assert np.corrcoef(mixed[far, 0], PINK[far, 0])[0, 1] > 0.99
    assert np.array_equal(PINK, field((200, 150, 160), 245, 1)), "the tile itself is not changed"


def test_a_hidden_corner_and_a_field_without_background_say_nothing() -> None:
    barred = PINK.copy()
    barred[-10:, -10:, :3] = 0
    seen, without = background_colours(barred), background_colours(barred, hidden_px=10)
    clean = background_colours(PINK, hidden_px=10)
    assert seen is not None and without is not None and clean is not None
    assert np.array_equal(without.mean, clean.mean)
    assert np.array_equal(without.spread, clean.spread)
    assert np.abs(seen.mean - clean.mean).max() > 0.05
    crowded = PINK.copy()
    crowded[..., 3] = 255
    assert background_colours(crowded) is None


def test_an_empty_slide_is_not_stretched_without_limit() -> None:
    """Glass alone has next to no spread; a stained field's would turn its noise into cells."""
    glass = np.full((64, 64, 4), 240, np.uint8)
    glass[..., :3] -= np.random.default_rng(0).integers(0, 3, (64, 64, 3)).astype(np.uint8)
    glass[..., 3] = 0
    own, other = background_colours(glass), background_colours(BLUE)
    assert own is not None and other is not None
    assert with_background(glass, own, other)[..., :3].std() < 3 * glass[..., :3].std() + 30


def epoch_of(share: float, *, masked: bool = True) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean colours far from the cell, and the classes, of one epoch of pink and blue fields."""
    pinks = [field((200, 150, 160), 245, seed) for seed in range(16)]
    blues = [field((155, 150, 180), 225, seed) for seed in range(16)]
    tiles = np.stack([*pinks, *blues])
    if not masked:
        tiles[..., 3] = 0
    labels = np.repeat([0, 1], 16)
    preprocessing = Preprocessing(
        height_px=64, width_px=64, um_per_px=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    stage = Stage(
        name="one", learns="classes", height_px=64, width_px=64, epochs=1, batch=8,
        learning_rate=0.1, other_background=share,
    )  # fmt: skip
    none = Augmentation(flips=False)
    batches = list(Batches(Lesson(tiles, labels, 2, 0.0), stage, none, preprocessing, (1, 0)).of(0))
    shown = np.concatenate([one.shown[0].numpy() for one in batches])
    return shown[:, :, :10].mean(axis=(2, 3)), np.concatenate([one.labels for one in batches])


def told_by_colour(share: float, *, masked: bool = True) -> float:
    """Share of fields whose class the background's red tells, by the best of all limits."""
    colours, labels = epoch_of(share, masked=masked)
    return max(float(((colours[:, 0] < limit) == labels).mean()) for limit in colours[:, 0])


def test_exchanged_backgrounds_tell_no_class() -> None:
    assert told_by_colour(0.0) > 0.95
    assert told_by_colour(1.0) < 0.8
    # Nothing is taken from a field that has nothing else.
    assert told_by_colour(1.0, masked=False) > 0.95


def test_batches_are_the_same_each_time() -> None:
    assert np.array_equal(epoch_of(0.5)[0], epoch_of(0.5)[0])


@pytest.mark.parametrize("setting", ["map_inside", "evidence_inside", "other_background"])
def test_what_needs_cells_belongs_to_stages_that_learn_classes(
    tmp_path: Path, setting: str
) -> None:
    text = (RECIPES / "synthetic5-resnet34.toml").read_text(encoding="utf-8")
    wrong = text.replace('learns = "cell_types"', f'learns = "cell_types"\n{setting} = 1.0')
    (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
    with pytest.raises(RecipeError, match=f"{setting} belongs to stages that learn classes"):
        load_recipe(str(tmp_path / "wrong.toml"))


def test_a_network_with_a_segmented_picture_has_no_other_background() -> None:
    recipe = load_recipe("ball4-cells")
    stage = recipe.stages[0].model_copy(update={"map_inside": 0.0})
    fusion = recipe.model_copy(update={"architecture": "fusion", "stages": (stage,)})
    with pytest.raises(RecipeError, match="segmented picture"):
        check_network(fusion)
