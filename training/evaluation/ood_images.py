"""The sets of images that the five out-of-distribution tests judge, made one by one from files.

Every set is named; nothing is written. Which pixels are cells comes from the segmentation, never from
a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from cloud_worker.cells.white_cells import COARSEST_UM_PER_PX, find_white_cells
from training.data import IMAGE_SUFFIXES, DataError, Sample, read_image
from training.evaluation.foreign_images import (
    NUISANCES,
    Cell,
    Look,
    Rgb,
    cut_cells,
    look_of,
    matched,
    resized,
    transplanted,
)
from training.evaluation.ood_tests import Test

MOST_IMAGES = 400
"""Per set, spread evenly over the files."""
_MOST_CELLS = 300
_T = TypeVar("_T")
_OWN_CELLS_FROM = 120


@dataclass(frozen=True, slots=True)
class ForeignSet:
    """Images of another laboratory; without a scale its cells cannot be placed on own fields."""

    name: str
    folder: Path
    um_per_px: float | None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """One named set: how many there are, and the images when they are asked for."""

    test: Test
    on: str
    count: int
    images: Iterator[Rgb]


def evenly(some: Sequence[_T], most: int = MOST_IMAGES) -> list[_T]:
    """At most so many, spread over the order."""
    if len(some) <= most:
        return list(some)
    return [some[i] for i in np.linspace(0, len(some) - 1, most).round().astype(int)]


def every_set(
    train: Sequence[Sample],
    test: Sequence[Sample],
    foreign: Sequence[ForeignSet],
    um_per_px: float | None,
    most: int = MOST_IMAGES,
) -> Iterator[ImageSet]:
    """All sets of the tests (a), (b), (c) and (e) in this order; the scale is that of own images."""
    some = evenly(test, most)
    for one in foreign:
        yield from foreign_sets(one, train, most)
    for one in foreign:
        yield from transplanted_sets(one, train, some, um_per_px)
    yield from changed_sets(some)


def foreign_files(one: ForeignSet, most: int = MOST_IMAGES) -> list[Path]:
    """Its images; DataError where it has none."""
    found = sorted(p for p in one.folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"{one.folder}: no images")
    if len(found) <= most:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, most).round().astype(int)]


def changed_sets(test: Sequence[Sample]) -> Iterator[ImageSet]:
    """Test (e): own images under each nuisance."""
    for name, change in NUISANCES.items():
        yield ImageSet("e", name, len(test), (change(read_image(sample.path)) for sample in test))


def foreign_sets(
    one: ForeignSet, train: Sequence[Sample], most: int = MOST_IMAGES, seed: int = 0
) -> Iterator[ImageSet]:
    """Tests (a) and (b): as they are, and matched to training images drawn at random."""
    files = foreign_files(one, most)
    own = [read_image(sample.path) for sample in evenly(train, 100)]
    height = int(np.median([image.shape[0] for image in own]))
    width = int(np.median([image.shape[1] for image in own]))
    looks: list[Look] = [look_of(image) for image in own]
    rng = np.random.default_rng([31, seed])
    yield ImageSet(
        "a", one.name, len(files), (resized(read_image(file), height, width) for file in files)
    )
    yield ImageSet(
        "b",
        f"{one.name}, matched",
        len(files),
        (
            matched(read_image(file), looks[int(rng.integers(len(looks)))], height, width)
            for file in files
        ),
    )


def transplanted_sets(
    one: ForeignSet,
    train: Sequence[Sample],
    test: Sequence[Sample],
    um_per_px: float | None,
    seed: int = 0,
) -> Iterator[ImageSet]:
    """Test (c) and its control; nothing where a scale is unknown or no cell is found."""
    scale = um_per_px if um_per_px is not None else None
    if scale is None or one.um_per_px is None or scale > COARSEST_UM_PER_PX:
        return
    foreign = _foreign_cells(one)
    own = _own_cells(evenly(train, _OWN_CELLS_FROM), scale)
    with_cells = [s for s in test if find_white_cells(read_image(s.path), scale).boxes]
    if not (foreign and own and with_cells):
        return
    for kind, name, cells, ratio in (
        ("c", f"{one.name} cells on own fields", foreign, one.um_per_px / scale),
        ("c_control", "own cells of other fields", own, 1.0),
    ):
        rng = np.random.default_rng([37, seed])
        test_kind: Test = "c" if kind == "c" else "c_control"
        yield ImageSet(
            test_kind,
            name,
            len(with_cells),
            (_placed(sample, scale, cells, ratio, rng) for sample in with_cells),
        )


def _placed(
    sample: Sample, um_per_px: float, cells: Sequence[Cell], ratio: float, rng: np.random.Generator
) -> Rgb:
    image = read_image(sample.path)
    return transplanted(image, find_white_cells(image, um_per_px).mask, cells, ratio, rng)


def _foreign_cells(one: ForeignSet) -> list[Cell]:
    assert one.um_per_px is not None
    least = 12.0 / one.um_per_px**2  # A nucleus has 20 square micrometres and more.
    cells: list[Cell] = []
    for file in foreign_files(one):
        image = read_image(file)
        cells += cut_cells(
            image, find_white_cells(image, one.um_per_px).mask, least_px=round(least)
        )
        if len(cells) >= _MOST_CELLS:
            break
    return cells


def _own_cells(train: Sequence[Sample], um_per_px: float) -> list[Cell]:
    cells: list[Cell] = []
    for sample in train:
        image = read_image(sample.path)
        cells += cut_cells(image, find_white_cells(image, um_per_px).mask)
        if len(cells) >= _MOST_CELLS:
            break
    return cells


def use_one_thread() -> None:
    """OpenCV's own threads only fight with the network's."""
    cv2.setNumThreads(1)
