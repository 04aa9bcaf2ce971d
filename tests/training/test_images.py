"""Pixels as a recipe's network is given them: whole images of any size, copies, and what is kept."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing
from training.data import DataError, Sample
from training.images import load_images
from training.reading import LabelRules, read_samples
from training.recipe import load_recipe

SIZES = ((257, 257), (96, 130), (300, 190))


def preprocessing_of(**changes: float) -> Preprocessing:
    facts = {"height_px": 64, "width_px": 64, "um_per_px": 1.5, "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Preprocessing.model_validate({**facts, **changes})


@pytest.fixture
def image_banks(tmp_path: Path) -> Path:
    """Laid out as the papers' sets are put together: a folder per class, sizes and formats mixed."""
    for number, label in enumerate(("ALL", "AML", "CLL", "CML", "Healthy")):
        (tmp_path / label).mkdir()
        for image, (height, width) in enumerate(SIZES):
            rng = np.random.default_rng(10 * number + image)
            small = rng.integers(0, 255, (12, 12, 3), np.uint8)
            pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            suffix = (".jpg", ".tif", ".png")[image]
            assert cv2.imwrite(str(tmp_path / label / f"Im{image:03d}{suffix}"), pixels)
    return tmp_path


def test_images_of_every_size_and_unknown_scale_are_squeezed_whole(image_banks: Path) -> None:
    recipe = load_recipe("bibi-resnet34")
    assert recipe.data.whole_images
    names = tuple(kind.name for kind in recipe.classes)
    rules = LabelRules(names, recipe.data.aliases, recipe.data.ignored_labels)
    samples, _ = read_samples(image_banks, rules)
    assert {sample.label for sample in samples} == set(names)
    read = load_images(samples, names, preprocessing_of(), whole=True)
    assert read.tiles.shape == (15, 64, 64, 3)
    assert np.bincount(read.labels).tolist() == [3] * 5
    with pytest.raises(DataError, match="um per pixel unknown"):
        load_images(samples, names, preprocessing_of())


def test_karar_s_two_classes_leave_the_others_out(image_banks: Path) -> None:
    recipe = load_recipe("karar2-acgan")
    names = tuple(kind.name for kind in recipe.classes)
    rules = LabelRules(names, recipe.data.aliases, recipe.data.ignored_labels)
    samples, _ = read_samples(image_banks, rules)
    assert sorted({sample.label for sample in samples}) == ["ALL", "healthy"]
    assert len(samples) == 6


def test_a_copy_differs_from_its_original_and_is_the_same_each_time(image_banks: Path) -> None:
    by = load_recipe("bibi-resnet34").augmentation
    digest = "ab" * 32
    samples = [
        Sample(image_banks / "ALL" / "Im000.jpg", "ALL", "g", digest, copy=n) for n in range(3)
    ]
    first, again = (
        load_images(samples, ["ALL"], preprocessing_of(), copied_by=by, whole=True).tiles
        for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert len({tile.tobytes() for tile in first}) == 3
    plain = load_images(samples[:1], ["ALL"], preprocessing_of(), whole=True).tiles
    assert np.array_equal(first[:1], plain)


def test_what_is_kept_is_a_fourth_channel(image_banks: Path) -> None:
    def left_half(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        kept = np.zeros(tile.shape[:2], np.uint8)
        kept[:, : tile.shape[1] // 2] = 255
        return kept

    sample = Sample(image_banks / "ALL" / "Im000.jpg", "ALL", "g", "ab" * 32)
    read = load_images([sample], ["ALL"], preprocessing_of(), kept_of=left_half, whole=True)
    assert read.tiles.shape == (1, 64, 64, 4)
    assert (read.tiles[0, :, :32, 3] == 255).all()
    assert not read.tiles[0, :, 32:, 3].any()


def test_an_image_seen_much_smaller_than_it_is_taken_is_accepted_at_its_own_scale() -> None:
    from cloud_worker.preprocess import prepare
    from cloud_worker.refusal import Refusal

    small = preprocessing_of(height_px=28, width_px=28, um_per_px=3.84, made_for_um_per_px=0.48)
    picture = np.zeros((224, 224, 3), np.uint8)
    ready = prepare(picture, 0.48, small)
    assert not isinstance(ready, Refusal)
    assert ready.count == 1
    refused = prepare(picture, 0.96, small)
    assert isinstance(refused, Refusal)
    assert "0.32 to 0.72 needed" in refused.text
