"""One recipe and one data set in, one bundle with its card out: the whole of `hemowire train`, on one page.

It judges no other bundle and serves nothing. (Over 250 lines: one page from images to card.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.card import (
    BundleCard,
    Metric,
    OutOfDistribution,
    Preprocessing,
    Recipe,
    TrainingData,
)
from cloud_worker.models.export import rounded_copy, weights_of
from cloud_worker.ood import fit_ood, percentile_table
from cloud_worker.preprocess import normalise
from training import baseline
from training.calibrate import fit_temperature, fit_thresholds
from training.images import CELL_TYPES, ImageSet, load_cells, load_images
from training.initial_weights import initial_weights
from training.metrics import Numbers, softmax
from training.recipe import Stage, TrainingRecipe
from training.report import image_metrics
from training.split import Parts, describe
from training.stages import Lesson, Progress, hide_corner, run_stages, use_cores


@dataclass(frozen=True, slots=True)
class Answers:
    """The network's outputs per image, pooled over its tiles."""

    logits: NDArray[np.float64]
    features: NDArray[np.float32]
    """Per tile: the distance is computed per tile and then pooled."""


def make_bundle(
    recipe: TrainingRecipe,
    parts: Parts,
    root: Path,
    out: Path,
    *,
    command: str,
    resume: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Train, calibrate, measure on the test part and write the bundle."""
    use_cores()
    names = [kind.name for kind in recipe.classes]
    preprocessing = _first_preprocessing(recipe)
    say("reading the training images")
    train = load_images(parts.train, names, preprocessing)
    preprocessing = _with_colours(preprocessing, train.tiles)

    def lesson_of(stage: Stage) -> Lesson:
        if stage.learns == "cell_types":
            tiles, labels = load_cells(parts.train, root, preprocessing, stage.height_px)
            return Lesson(tiles, labels, len(CELL_TYPES), balance=0.5)
        return Lesson(train.tiles, train.labels, len(names), balance=1.0)

    checkpoint = out.with_name(f"{out.name}.training") / "checkpoint.pt"
    initial = initial_weights(recipe.architecture, recipe.initial_weights, say)
    say(f"weights start from: {initial.said}")
    trained = run_stages(
        recipe,
        preprocessing,
        lesson_of,
        checkpoint,
        resume=resume,
        tell=tell,
        initial=initial.tensors,
    )
    # What is measured is what is stored: half-precision weights.
    network = rounded_copy(trained, weights_of(trained, half=True))
    say("reading the calibration and test images")
    calibration = load_images(parts.calibration, names, preprocessing)
    test = load_images(parts.test, names, preprocessing)
    say("calibrating and measuring")
    return _write(
        recipe,
        parts,
        out,
        command=command,
        preprocessing=preprocessing,
        network=network,
        sets=(train, calibration, test),
        started_from=initial.said,
    )


def _write(
    recipe: TrainingRecipe,
    parts: Parts,
    out: Path,
    *,
    command: str,
    preprocessing: Preprocessing,
    network: nn.Module,
    sets: tuple[ImageSet, ImageSet, ImageSet],
    started_from: str,
) -> Bundle:
    train, calibration, test = sets
    fitted_on = f"calibration part, {len(parts.calibration)} images"
    held = answer(network, calibration, preprocessing)
    held_labels = image_labels(calibration)
    temperature = fit_temperature(held.logits, held_labels, fitted_on)
    p = softmax(held.logits, temperature.temperature)
    meanings = [kind.meaning for kind in recipe.classes]
    thresholds = fit_thresholds(p, held_labels, meanings, recipe.calibration, fitted_on)

    some = _evenly(train, 800)
    seen = answer(network, some, preprocessing)
    ood = fit_ood(seen.features, some.labels, recipe.calibration.ood_dims)
    distances = pooled(ood.distances(held.features), calibration)
    far = OutOfDistribution(
        dims=len(ood.variances),
        percentiles=percentile_table(distances),
        threshold=float(np.percentile(distances, recipe.calibration.ood_percentile)),
        fitted_on=f"train part ({len(some.labels)} tiles); threshold on {fitted_on}",
    )
    probabilities = softmax(answer(network, test, preprocessing).logits, temperature.temperature)
    by_colour = baseline.answer_by_colour(
        _colours(train, preprocessing), train.labels, _colours(test, preprocessing)
    )
    card = BundleCard(
        architecture=recipe.architecture,
        task=recipe.task,
        classes=recipe.classes,
        preprocessing=preprocessing,
        calibration=temperature,
        thresholds=thresholds,
        ood=far,
        training_data=TrainingData(
            kind=recipe.data.kind,
            name=recipe.data.name,
            licence=recipe.data.licence,
            credit=recipe.data.credit,
            grouped_by=recipe.data.grouped_by,
            splits={name: describe(samples) for name, samples in parts.named().items()},
            notes=recipe.data.notes,
        ),
        recipe=Recipe(
            name=recipe.name,
            command=command,
            seeds={"training": recipe.seed, "split": recipe.split.seed, **_data_seed(recipe)},
            settings=_settings(recipe),
            initial_weights=started_from,
        ),
        metrics=_figures(recipe, parts, test, probabilities, by_colour),
        limits_of_use=recipe.limits_of_use,
    )
    return write_bundle(out, network, card, ood_tensors=ood.tensors())


def answer(network: nn.Module, images: ImageSet, preprocessing: Preprocessing) -> Answers:
    """Run the network over all tiles and pool the logits per image.

    bfloat16, as the engines that serve on a CPU choose it.
    """
    logits, features = [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images.labels), 16):
            batch = normalise(images.tiles[start : start + 16], preprocessing)
            outputs = network(torch.from_numpy(batch).to(memory_format=torch.channels_last))
            logits.append(outputs[0].float().numpy())
            features.append(outputs[1].float().numpy())
    return Answers(pooled(np.concatenate(logits), images), np.concatenate(features))


def pooled(values: NDArray[np.floating], images: ImageSet) -> NDArray[np.float64]:
    """Area-weighted mean per image of values per tile."""
    weights = images.weights.reshape(-1, *([1] * (values.ndim - 1)))
    total = np.zeros((int(images.image.max()) + 1, *values.shape[1:]))
    np.add.at(total, images.image, values * weights)
    return total


def image_labels(images: ImageSet) -> Numbers:
    """The class number of each image."""
    _, first = np.unique(images.image, return_index=True)
    return images.labels[first]


def _figures(
    recipe: TrainingRecipe,
    parts: Parts,
    test: ImageSet,
    p: NDArray[np.float64],
    by_colour: Numbers,
) -> tuple[Metric, ...]:
    """The card's metrics on the test part, with the mean-RGB baseline beside them."""
    # The first words name the groups; the card's training data has the whole sentence.
    split = f"test part, by {re.split('[:;]', recipe.data.grouped_by)[0]}"
    keys = [kind.key for kind in recipe.classes]
    groups = np.unique([sample.group for sample in parts.test], return_inverse=True)[1]
    labels = image_labels(test)
    found = image_metrics(labels, p.argmax(axis=1), groups, keys, split)
    colour = image_metrics(test.labels, by_colour, groups[test.image], keys, split)[0]
    method = "support vector machine on mean R, G, B alone; bootstrap over groups"
    name = "mean_rgb_balanced_accuracy"
    return (*found, colour.model_copy(update={"name": name, "method": method}))


def _colours(images: ImageSet, preprocessing: Preprocessing) -> NDArray[np.float64]:
    hidden = np.stack([hide_corner(tile, preprocessing) for tile in images.tiles])
    return baseline.mean_colours(hidden)


def _evenly(images: ImageSet, most: int) -> ImageSet:
    step = max(1, -(-len(images.labels) // most))
    return ImageSet(
        images.tiles[::step],
        images.labels[::step],
        np.arange(len(images.labels[::step])),
        np.ones(len(images.labels[::step])),
    )


def _first_preprocessing(recipe: TrainingRecipe) -> Preprocessing:
    shape = recipe.input
    return Preprocessing(
        height_px=shape.height_px,
        width_px=shape.width_px,
        um_per_px=shape.um_per_px,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        masked_corner_px=shape.masked_corner_px,
        tile_overlap=shape.tile_overlap,
    )


def _with_colours(preprocessing: Preprocessing, tiles: NDArray[np.uint8]) -> Preprocessing:
    some = tiles[:: max(1, len(tiles) // 300)].reshape(-1, 3) / 255.0
    mean, std = (tuple(round(float(v), 4) for v in s) for s in (some.mean(0), some.std(0)))
    return preprocessing.model_copy(update={"mean": mean, "std": std})


def _settings(recipe: TrainingRecipe) -> dict[str, str | int | float | bool]:
    """The recipe's stages and augmentation as flat values, for the card."""
    flat: dict[str, str | int | float | bool] = {
        "split.calibration": recipe.split.calibration,
        "split.test": recipe.split.test,
    }
    if recipe.data.um_per_px is not None:
        flat["data.um_per_px"] = recipe.data.um_per_px
    for stage in recipe.stages:
        for key, value in stage.model_dump(exclude={"name"}).items():
            flat[f"stage.{stage.name}.{key}"] = value
    for key, value in recipe.augmentation.model_dump().items():
        flat[f"augmentation.{key}"] = value if not isinstance(value, tuple) else str(value)
    return flat


def _data_seed(recipe: TrainingRecipe) -> dict[str, int]:
    simulated = recipe.data.simulated
    return {"simulator": simulated.seed} if simulated else {}
