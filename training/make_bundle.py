"""One recipe and one data set in, one bundle with its card out: the whole of `hemowire train`, on one page.

It judges no other bundle and serves nothing. (Over 250 lines: one page from images to card.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch import nn

from cloud_worker.engines.engine import Outputs
from cloud_worker.foreignness.score import Foreignness
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.card import (
    BundleCard,
    Preprocessing,
    Recipe,
    TrainingData,
)
from cloud_worker.models.export import rounded_copy, weights_of
from cloud_worker.models.registry import architecture
from training.batches import Lesson, pictures
from training.calibrate import fit_temperature, fit_thresholds
from training.card_facts import (
    figures,
    grouping_words,
    image_labels,
    seeds_of,
    settings_of,
    warnings_of,
)
from training.checkpoints import CHECKPOINT_FILE
from training.compute import use_cores
from training.data import Sample
from training.fitting_foreignness import (
    CARRIED,
    FIT_IMAGES,
    Learner,
    carried_card,
    fit_score,
    small_changes,
)
from training.gan import sample_sheet, train_gan, write_sheet
from training.images import CELL_TYPES, CellsOf, ImageSet, KeptOf, load_cells, load_images
from training.initial_weights import initial_weights
from training.metrics import softmax
from training.recipe import Augmentation, Stage, TrainingRecipe
from training.record import (
    GENERATOR_FILE,
    SHEET_FILE,
    Predicted,
    training_folder,
    write_figures,
    write_history,
    write_predictions,
    write_split,
)
from training.seen import seen_tensors
from training.segmenting import make_servable, segmenter
from training.split import Parts, describe
from training.stage_run import Progress
from training.stages import Trained, run_stages
from training.where_cells import TrueCells, found_cells


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
    record_only: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> Bundle | None:
    """Train, calibrate, measure on the test part and write the bundle.

    None where all but the bundle is written: because only the record is asked for, or for a network
    whose segmented picture cannot be made where it is served.
    """
    use_cores()
    names = [kind.name for kind in recipe.classes]
    preprocessing = _first_preprocessing(recipe)
    folder = training_folder(out)
    write_split(folder, recipe, parts, root)
    reader = _Reader(recipe, names, preprocessing)
    say("reading the training images")
    train = reader.read(parts.train, cells_of=_cells_of(recipe, root))
    preprocessing = _with_colours(preprocessing, train.tiles)
    inputs = architecture(recipe.architecture).inputs

    def lesson_of(stage: Stage) -> Lesson:
        if stage.learns == "cell_types":
            tiles, labels = load_cells(parts.train, root, preprocessing, stage.height_px)
            return Lesson(tiles, labels, len(CELL_TYPES), stage.balance / 2, inputs)
        return Lesson(train.tiles, train.labels, len(names), stage.balance, inputs)

    watched = None
    if parts.validation:
        seen = reader.read(parts.validation)
        watched = Lesson(seen.tiles, seen.labels, len(names), 0.0, inputs)
    initial = initial_weights(recipe.architecture, recipe.initial_weights, say)
    say(f"weights start from: {initial.said}")
    images = describe(parts.train).sha256
    # Copies that were made before the split are not changed again.
    taught = recipe.model_copy(update={"augmentation": reader.while_training})
    checkpoint = folder / CHECKPOINT_FILE
    if recipe.gan is not None:
        made = train_gan(
            taught,
            preprocessing,
            lesson_of(recipe.stages[0]),
            checkpoint,
            resume=resume,
            tell=tell,
            initial=initial.tensors,
            watched=watched,
            images=images,
        )
        trained = made.trained
        sheet = sample_sheet(made.generator, len(names), recipe.gan.sheet_columns, recipe.seed)
        write_sheet(sheet, folder / SHEET_FILE)
        save_model(made.generator, str(folder / GENERATOR_FILE))
        say(f"generated pictures: {folder / SHEET_FILE}")
    else:
        trained = run_stages(
            taught,
            preprocessing,
            lesson_of,
            checkpoint,
            resume=resume,
            tell=tell,
            initial=initial.tensors,
            watched=watched,
            images=images,
        )
    write_history(folder, recipe, trained.history, trained.compute, initial.said)
    # What is measured is what is stored: half-precision weights.
    network = rounded_copy(trained.network, weights_of(trained.network, half=True))
    say("reading the calibration and test images")
    calibration = reader.read(parts.calibration)
    test = reader.read(parts.test)
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
        trained=trained,
        root=root,
        record_only=record_only,
    )


def _cells_of(recipe: TrainingRecipe, root: Path) -> CellsOf | None:
    """Where white cells are, if a stage asks for it."""
    if not any(stage.needs_cells for stage in recipe.stages):
        return None
    return TrueCells(root).of if recipe.data.kind == "synthetic" else found_cells


class _Reader:
    """Reads each part's images alike."""

    def __init__(
        self, recipe: TrainingRecipe, names: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        self._names, self._preprocessing = names, preprocessing
        self._whole = recipe.data.whole_images
        copied = recipe.split.regime == "paper" and bool(recipe.paper_split.enlarge)
        self._copied_by = recipe.augmentation if copied else None
        self.while_training = Augmentation(flips=False) if copied else recipe.augmentation
        segmented = "segmented" in architecture(recipe.architecture).inputs
        self._kept_of: KeptOf | None = None
        if segmented:
            self._kept_of = segmenter(recipe.segmentation, preprocessing)

    def read(self, samples: Sequence[Sample], cells_of: CellsOf | None = None) -> ImageSet:
        return load_images(
            samples,
            self._names,
            self._preprocessing,
            kept_of=self._kept_of,
            cells_of=cells_of,
            copied_by=self._copied_by,
            whole=self._whole,
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
    trained: Trained,
    root: Path,
    record_only: bool,
) -> Bundle | None:
    train, calibration, test = sets
    inputs = architecture(recipe.architecture).inputs
    fitted_on = f"calibration part, {len(parts.calibration)} images"
    held = answer(network, calibration, preprocessing, inputs)
    held_labels = image_labels(calibration)
    temperature = fit_temperature(held.logits, held_labels, fitted_on)
    p = softmax(held.logits, temperature.temperature)
    meanings = [kind.meaning for kind in recipe.classes]
    slides = [sample.group for sample in parts.calibration]
    thresholds = fit_thresholds(
        p, held_labels, meanings, recipe.calibration, fitted_on, groups=slides
    )

    score = _fit_foreignness(recipe, network, train, preprocessing, inputs)
    outputs = outputs_of(network, calibration.tiles, preprocessing, inputs)
    distances = pooled(np.concatenate([score.distances(one) for one in outputs]), calibration)
    percentile = recipe.calibration.ood_percentile
    far = carried_card(score, distances, percentile, images=len(parts.calibration))
    answered = answer(network, test, preprocessing, inputs)
    write_predictions(
        training_folder(out),
        [kind.name for kind in recipe.classes],
        temperature.temperature,
        test=Predicted(parts.test, answered.logits, image_labels(test)),
        calibration=Predicted(parts.calibration, held.logits, held_labels),
        root=root,
    )
    probabilities = softmax(answered.logits, temperature.temperature)
    measured = figures(
        recipe,
        parts,
        test=test,
        p=probabilities,
        train=train,
        preprocessing=preprocessing,
    )
    write_figures(training_folder(out), measured)
    card = BundleCard(
        architecture=recipe.architecture,
        output_stride=recipe.output_stride,
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
            grouped_by=grouping_words(recipe),
            splits={name: describe(samples) for name, samples in parts.named().items()},
            notes=recipe.data.notes,
        ),
        recipe=Recipe(
            name=recipe.name,
            command=command,
            seeds=seeds_of(recipe),
            settings=settings_of(recipe, trained),
            initial_weights=started_from,
        ),
        metrics=measured,
        limits_of_use=(*warnings_of(recipe), *recipe.limits_of_use),
    )
    if record_only or not make_servable(network, inputs, recipe.segmentation, preprocessing):
        return None
    return write_bundle(out, network, card, ood_tensors=score.tensors(), seen=seen_tensors(parts))


def _fit_foreignness(
    recipe: TrainingRecipe,
    network: nn.Module,
    train: ImageSet,
    preprocessing: Preprocessing,
    inputs: Sequence[str],
) -> Foreignness:
    """On training tiles as they are and with small changes of light, focus and JPEG quality."""
    some = _evenly(train, FIT_IMAGES)
    changed = some.tiles.copy()
    for number, tile in enumerate(changed):
        tile[..., :3] = small_changes(tile[..., :3], number)
    learner = Learner()
    for tiles in (some.tiles, changed):
        start = 0
        for seen in outputs_of(network, tiles, preprocessing, inputs):
            labels = some.labels[start : start + len(seen.logits)]
            learner.add(seen, [int(label) for label in labels])
            start += len(seen.logits)
    return fit_score(CARRIED, learner.learned(), recipe.calibration.ood_dims)


def outputs_of(
    network: nn.Module,
    tiles: NDArray[np.uint8],
    preprocessing: Preprocessing,
    inputs: Sequence[str] = ("original",),
) -> Iterator[Outputs]:
    """All that the network says of the tiles, sixteen at a time, in bfloat16 as `answer`."""
    for start in range(0, len(tiles), 16):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            outputs = network(*pictures(tiles[start : start + 16], preprocessing, inputs))
        yield Outputs(*(one.float().numpy() for one in outputs[:3]))


def answer(
    network: nn.Module,
    images: ImageSet,
    preprocessing: Preprocessing,
    inputs: Sequence[str] = ("original",),
) -> Answers:
    """Run the network over all tiles and pool the logits per image.

    bfloat16, as the engines that serve on a CPU choose it.
    """
    logits, features = [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images.labels), 16):
            outputs = network(*pictures(images.tiles[start : start + 16], preprocessing, inputs))
            logits.append(outputs[0].float().numpy())
            features.append(outputs[1].float().numpy())
    return Answers(pooled(np.concatenate(logits), images), np.concatenate(features))


def pooled(values: NDArray[np.floating], images: ImageSet) -> NDArray[np.float64]:
    """Area-weighted mean per image of values per tile."""
    weights = images.weights.reshape(-1, *([1] * (values.ndim - 1)))
    total = np.zeros((int(images.image.max()) + 1, *values.shape[1:]))
    np.add.at(total, images.image, values * weights)
    return total


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
        made_for_um_per_px=shape.made_for_um_per_px,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        masked_corner_px=shape.masked_corner_px,
        tile_overlap=shape.tile_overlap,
    )


def _with_colours(preprocessing: Preprocessing, tiles: NDArray[np.uint8]) -> Preprocessing:
    some = tiles[:: max(1, len(tiles) // 300), ..., :3].reshape(-1, 3) / 255.0
    mean, std = (tuple(round(float(v), 4) for v in s) for s in (some.mean(0), some.std(0)))
    return preprocessing.model_copy(update={"mean": mean, "std": std})
