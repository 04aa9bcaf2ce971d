"""Training images as arrays at the network's scale, through the very preprocessing that serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Preprocessing
from cloud_worker.preprocess import prepare
from cloud_worker.refusal import Refusal
from cloud_worker.tiling import cut_tiles
from edge_device.simulator.cell_types import CellType
from edge_device.simulator.dataset import TRUTH_FILE
from training.augment import augment
from training.data import DataError, Sample, read_image
from training.recipe import Augmentation

KeptOf = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""An RGB tile H,W,3 -> H,W with 255 where a segmentation keeps it, else 0."""
CellsOf = Callable[[Sample], NDArray[np.uint8]]
"""An image -> H,W of its own size with 255 where a white cell is, else 0."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Tiles of N images: uint8 T,H,W,3, the class of each, and which image it was cut from."""

    tiles: NDArray[np.uint8]
    """Or T,H,W,4, where a fourth channel says what a segmentation keeps, or where white cells are."""
    labels: NDArray[np.int64]
    image: NDArray[np.int64]
    weights: NDArray[np.float64]
    """Share of its field that a tile stands for."""


def load_images(
    samples: Sequence[Sample],
    labels: Sequence[str],
    preprocessing: Preprocessing,
    done: Callable[[int], None] = lambda count: None,
    *,
    kept_of: KeptOf | None = None,
    cells_of: CellsOf | None = None,
    copied_by: Augmentation | None = None,
    whole: bool = False,
) -> ImageSet:
    """Decode, resample and tile all samples; DataError names an image that serving would refuse.

    `kept_of` segments each tile, `cells_of` knows each image's white cells; `copied_by` makes the
    copies of a paper that augments before it splits; `whole` squeezes every image into one tile,
    whatever its size and scale.
    """
    tiles: list[NDArray[np.uint8]] = []
    weights: list[NDArray[np.float64]] = []
    for number, sample in enumerate(samples, start=1):
        pixels, scale = read_image(sample.path), sample.um_per_px
        if whole:
            size = (preprocessing.width_px, preprocessing.height_px)
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
            scale = preprocessing.um_per_px
        prepared = prepare(pixels, scale, preprocessing)
        if isinstance(prepared, Refusal):
            raise DataError(f"{sample.path}: {prepared.text}")
        cut = cut_tiles(prepared.field, prepared.plan)
        if sample.copy and copied_by is not None:
            rng = np.random.default_rng([sample.copy, int(sample.sha256[:12], 16)])
            cut = np.stack([augment(tile, copied_by, rng) for tile in cut])
        if kept_of is not None:
            kept = np.stack([kept_of(tile) for tile in cut])
            cut = np.concatenate([cut, kept[..., None]], axis=3)
        if cells_of is not None:
            height, width = prepared.field.shape[:2]
            three = cv2.merge([cells_of(sample)] * 3)  # tiles are cut from three channels
            cells = np.asarray(cv2.resize(three, (width, height)), np.uint8)
            cut = np.concatenate([cut, cut_tiles(cells, prepared.plan)[..., :1]], axis=3)
        tiles.append(cut)
        weights.append(prepared.weights)
        done(number)
    counts = [len(cut) for cut in tiles]
    number_of = {label: number for number, label in enumerate(labels)}
    numbers = np.array([number_of[sample.label] for sample in samples], np.int64)
    return ImageSet(
        np.concatenate(tiles),
        np.repeat(numbers, counts),
        np.repeat(np.arange(len(samples)), counts),
        np.concatenate(weights),
    )


CELL_TYPES = tuple(kind.value for kind in CellType)


def load_cells(
    samples: Sequence[Sample], root: Path, preprocessing: Preprocessing, side_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Single white cells of simulated fields: uint8 N,side,side,3 and their type numbers.

    Needs the simulator's truth file; raises DataError without it.
    """
    truth_file = root / TRUTH_FILE
    if not truth_file.is_file():
        raise DataError(f"{truth_file}: missing; learning cell types needs simulated images")
    with truth_file.open(encoding="utf-8") as file:
        truths = {root / truth["path"]: truth for truth in map(json.loads, file)}
    number_of = {name: number for number, name in enumerate(CELL_TYPES)}
    crops: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    half = side_px // 2
    for sample in samples:
        truth = truths[sample.path]
        prepared = prepare(read_image(sample.path), sample.um_per_px, preprocessing)
        if isinstance(prepared, Refusal):
            raise DataError(f"{sample.path}: {prepared.text}")
        scale = truth["um_per_px"] / preprocessing.um_per_px
        field = np.pad(prepared.field, ((half, half), (half, half), (0, 0)), mode="reflect")
        for cell in truth["cells"]:
            x0, y0, x1, y1 = cell["box"]
            left, top = round((x0 + x1) / 2 * scale), round((y0 + y1) / 2 * scale)
            crop = field[top : top + side_px, left : left + side_px]
            if crop.shape[:2] == (side_px, side_px):
                crops.append(crop)
                numbers.append(number_of[cell["cell_type"]])
    return np.stack(crops), np.array(numbers, np.int64)
