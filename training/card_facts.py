"""What a bundle's card says of its training: figures with their baselines, settings and warnings."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Metric, Preprocessing
from training import baseline
from training.batches import hide_corner
from training.images import ImageSet
from training.metrics import Numbers
from training.recipe import TrainingRecipe
from training.regimes import HONEST
from training.report import image_metrics
from training.split import Parts
from training.stages import Trained


def image_labels(images: ImageSet) -> Numbers:
    """The class number of each image."""
    _, first = np.unique(images.image, return_index=True)
    return images.labels[first]


def figures(
    recipe: TrainingRecipe,
    parts: Parts,
    *,
    test: ImageSet,
    p: NDArray[np.float64],
    train: ImageSet,
    preprocessing: Preprocessing,
) -> tuple[Metric, ...]:
    """The card's metrics on the test part, with what colour and mask area alone give beside them."""
    # The first words name the groups; the card's training data has the whole sentence.
    split = f"test part, by {re.split('[:;]', grouping_words(recipe))[0]}"
    keys = [kind.key for kind in recipe.classes]
    groups = np.unique([sample.group for sample in parts.test], return_inverse=True)[1]
    labels = image_labels(test)
    found = image_metrics(labels, p.argmax(axis=1), groups, keys, split)
    by_colour = baseline.answer_by_colour(
        _colours(train, preprocessing), train.labels, _colours(test, preprocessing)
    )
    alone = [("mean_rgb_balanced_accuracy", "mean R, G, B alone", by_colour)]
    if test.tiles.shape[3] == 4:
        # What the segmentation keeps differs in area from class to class: a leak of the method's own.
        by_area = baseline.answer_by_colour(_areas(train), train.labels, _areas(test))
        alone.append(("mask_area_balanced_accuracy", "the segmented area alone", by_area))
    for name, words, answers in alone:
        one = image_metrics(test.labels, answers, groups[test.image], keys, split)[0]
        method = f"support vector machine on {words}; bootstrap over groups"
        found.append(one.model_copy(update={"name": name, "method": method}))
    return tuple(found)


def _colours(images: ImageSet, preprocessing: Preprocessing) -> NDArray[np.float64]:
    hidden = np.stack([hide_corner(tile[..., :3], preprocessing) for tile in images.tiles])
    return baseline.mean_colours(hidden)


def _areas(images: ImageSet) -> NDArray[np.float64]:
    """N,1 shares of each tile that its segmentation keeps."""
    return np.asarray((images.tiles[..., 3] > 127).mean(axis=(1, 2))[:, None], np.float64)


def grouping_words(recipe: TrainingRecipe) -> str:
    """By what the parts were kept apart, or that they were not."""
    split = recipe.split
    if split.regime == "by_group":
        return recipe.data.grouped_by
    if split.regime == "contiguous_fifths":
        return (
            f"fifth {split.fifth} of the file order per class; groups kept whole: "
            f"{recipe.data.grouped_by}"
        )
    enlarged = " after augmentation" if recipe.paper_split.enlarge else ""
    how = f"image, as the paper does{enlarged}" if split.regime == "paper" else "image"
    return f"{how}; NOT by group: the test part holds siblings of training images"


def warnings_of(recipe: TrainingRecipe) -> list[str]:
    """What a reader must know before anything else."""
    said = []
    if recipe.reduced:
        said.append(
            "Reduced run: fewer images, epochs and pixels than its recipe. It shows that the recipe "
            "works; its figures are not the recipe's."
        )
    if recipe.split.regime not in HONEST:
        said.append("Split by image: near-duplicates of training images are tested on.")
    return said


def settings_of(recipe: TrainingRecipe, trained: Trained) -> dict[str, str | int | float | bool]:
    """The recipe's stages and augmentation as flat values, for the card."""
    flat: dict[str, str | int | float | bool] = {
        "split.calibration": recipe.split.calibration,
        "split.test": recipe.split.test,
        "split.validation": recipe.split.validation,
        "split.regime": recipe.split.regime,
        "reduced": recipe.reduced,
        "compute": trained.compute,
    }
    if recipe.split.regime == "contiguous_fifths":
        flat["split.fifth"] = recipe.split.fifth
    if recipe.data.aliases:
        pairs = [f"{label}={name}" for label, name in recipe.data.aliases.items()]
        flat["data.aliases"] = "\n".join(pairs)
    if recipe.data.ignored_labels:
        flat["data.ignored_labels"] = "\n".join(recipe.data.ignored_labels)
    if recipe.most_images is not None:
        flat["most_images"] = recipe.most_images
    for done in trained.history:
        flat[f"stage.{done.name}.epochs_done"] = len(done.epochs)
        if done.best_epoch is not None:
            flat[f"stage.{done.name}.best_epoch"] = done.best_epoch
    if recipe.data.um_per_px is not None:
        flat["data.um_per_px"] = recipe.data.um_per_px
    for stage in recipe.stages:
        for key, value in stage.model_dump(exclude={"name"}, exclude_none=True).items():
            flat[f"stage.{stage.name}.{key}"] = value
    for key, value in recipe.augmentation.model_dump().items():
        flat[f"augmentation.{key}"] = value if not isinstance(value, tuple) else str(value)
    return flat


def seeds_of(recipe: TrainingRecipe) -> dict[str, int]:
    """Every number that chance was drawn from."""
    seeds = {"training": recipe.seed, "split": recipe.split.seed}
    simulated = recipe.data.simulated
    return {**seeds, "simulator": simulated.seed} if simulated else seeds
