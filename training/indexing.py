"""An index of labelled images: digest, perceptual hash, and which of them must stay on one side of a split.

Images are joined into one group where their files are equal, where they show the same field (turned
or mirrored too), or where the data set itself joins them. It refuses damaged images, a class
without images, a class that is one group, and a label that is not expected; it names the files. (Just over 250
lines: one page from files to manifest.)
"""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from training.data import (
    DataError,
    ListedImage,
    digest_and_image,
    first_problems,
    list_images,
    manifest_of,
)
from training.layouts import list_layout
from training.perceptual_hash import (
    grey_thumbnail,
    hash_thumbnails,
    hash_word,
    near_pairs,
)

COLUMNS = (
    "path",
    "label",
    "source",
    "patient",
    "slide",
    "group",
    "near_duplicate_group",
    "sha256",
    "perceptual_hash",
    "um_per_px",
)


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """One row of a manifest."""

    listed: ListedImage
    """What the data set itself says of it."""
    group: str
    """What a split keeps together."""
    near_duplicate_group: str
    """The same field, by bytes or by sight."""
    sha256: str
    perceptual_hash: str

    @property
    def path(self) -> Path:
        return self.listed.path

    @property
    def label(self) -> str:
        return self.listed.label


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pairs that the data set's own near-duplicate groups and ours join."""

    both: int
    only_given: tuple[tuple[Path, Path], ...]
    only_ours: tuple[tuple[Path, Path], ...]


@dataclass(frozen=True, slots=True)
class Index:
    """All images of a data set, by path."""

    images: tuple[IndexedImage, ...]
    identical_files: int
    """Images whose file has come before."""
    between_labels: tuple[tuple[Path, Path], ...]
    """Pairs that show the same field under different labels."""

    def largest_group(self) -> int:
        """Images in the largest group."""
        return max(Counter(image.group for image in self.images).values())

    def agreement(self) -> Agreement | None:
        """How the given groups and ours compare; None where none are given."""
        given = _pairs((image.listed.near_duplicate_group, image.path) for image in self.images)
        if not any(image.listed.near_duplicate_group for image in self.images):
            return None
        ours = _pairs((image.near_duplicate_group, image.path) for image in self.images)
        return Agreement(
            len(ours & given), tuple(sorted(given - ours)), tuple(sorted(ours - given))
        )


def index_images(
    location: Path,
    labels: Sequence[str] = (),
    done: Callable[[int, int], None] = lambda count, total: None,
) -> Index:
    """Read every image of a manifest, a known layout or a folder per class; DataError says where it fails.

    `labels` are the expected ones; without them every label that occurs is.
    """
    laid_out = None if manifest_of(location) else list_layout(location)
    listed = laid_out[1] if laid_out else list_images(location)
    listed = sorted(listed, key=lambda image: image.path)
    _check_labels(location, listed, labels)
    thumbnails, digests, problems = [], [], []
    for number, image in enumerate(listed, start=1):
        try:
            digest, pixels = digest_and_image(image.path)
        except DataError as problem:
            problems.append(str(problem))
        else:
            digests.append(digest)
            thumbnails.append(grey_thumbnail(pixels))
        done(number, len(listed))
    if problems:
        raise DataError(first_problems(problems))

    hashes = hash_thumbnails(np.stack(thumbnails))
    near = [(i, j) for i, j, _ in near_pairs(hashes)]
    same_file = _joined(digests)
    same_field = connect(len(listed), [*same_file, *near])
    groups = connect(len(listed), [*same_file, *near, *_given_pairs(listed)])
    images = tuple(
        IndexedImage(
            listed=image,
            group=f"g{groups[i]:05d}",
            near_duplicate_group=f"n{same_field[i]:05d}",
            sha256=digests[i],
            perceptual_hash=hash_word(hashes[:, i]),
        )
        for i, image in enumerate(listed)
    )
    _check_groups(images)
    between = [
        (listed[i].path, listed[j].path)
        for i, j in sorted({*same_file, *near})
        if listed[i].label != listed[j].label
    ]
    return Index(images, len(digests) - len(set(digests)), tuple(between))


def write_manifest(index: Index, file: Path) -> None:
    """The index as a CSV that `read_data_set` takes; paths are relative to it where it lies above."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(COLUMNS)
        for image in index.images:
            values: dict[str, object] = {
                **{name: getattr(image.listed, name, "") for name in COLUMNS},
                "path": _written_path(image.path, file.parent),
                "group": image.group,
                "near_duplicate_group": image.near_duplicate_group,
                "sha256": image.sha256,
                "perceptual_hash": image.perceptual_hash,
            }
            rows.writerow([values[name] for name in COLUMNS])  # None is written as nothing
    partial.replace(file)


def connect(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The number of each one's connected group, counted from 0 in order of first members."""
    leader = list(range(count))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for i, j in pairs:
        first, second = sorted((find(i), find(j)))
        leader[second] = first
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(i), len(numbers)) for i in range(count)]


def _given_pairs(listed: Sequence[ListedImage]) -> list[tuple[int, int]]:
    """Pairs that the data set joins: by patient, slide, group or near-duplicate group.

    The same word from another source, and a slide's from another patient, is another one.
    """
    pairs: list[tuple[int, int]] = []
    for column in ("patient", "slide", "group", "near_duplicate_group"):
        values = [getattr(image, column) for image in listed]
        if column == "slide":
            values = [
                v and f"{image.patient}\0{v}" for v, image in zip(values, listed, strict=True)
            ]
        values = [v and f"{image.source}\0{v}" for v, image in zip(values, listed, strict=True)]
        pairs += _joined([value or f"\0\0{i}" for i, value in enumerate(values)])
    return pairs


def _joined(values: Sequence[str]) -> list[tuple[int, int]]:
    """A pair of the first and each later index with the same value."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(value, i), i) for i, value in enumerate(values)]
    return [(i, j) for i, j in pairs if i != j]


def _pairs(grouped: Iterable[tuple[str, Path]]) -> set[tuple[Path, Path]]:
    members: dict[str, list[Path]] = defaultdict(list)
    for group, path in grouped:
        if group:
            members[group].append(path)
    return {pair for paths in members.values() for pair in combinations(sorted(paths), 2)}


def _check_labels(location: Path, listed: Sequence[ListedImage], labels: Sequence[str]) -> None:
    found = Counter(image.label for image in listed)
    problems = [
        f"{next(image.path for image in listed if image.label == label)}: label {label!r} is not in "
        f"the list ({', '.join(labels)}); {count} such images"
        for label, count in found.items()
        if labels and label not in labels
    ]
    problems += [f"{location}: no images of class {label}" for label in labels if not found[label]]
    if problems:
        raise DataError(first_problems(problems))


def _check_groups(images: Sequence[IndexedImage]) -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for image in images:
        groups[image.label].add(image.group)
    problems = [
        f"{next(image.path for image in images if image.label == label)}: class {label} is one group "
        f"of {sum(image.label == label for image in images)} images, so it cannot be split"
        for label, found in groups.items()
        if len(found) == 1
    ]
    if problems:
        raise DataError(first_problems(problems))


def _written_path(path: Path, folder: Path) -> str:
    absolute = path.absolute()
    if absolute.is_relative_to(folder.absolute()):
        return os.fspath(absolute.relative_to(folder.absolute()))
    return os.fspath(absolute)
