"""Which images a data set has, with label, group and digest; it refuses damaged or unlabelled ones.

Two layouts: a folder per class, or a CSV manifest with the columns path, label and a group
(`group`, `slide`, `patient` or `near_duplicate_group`) beside the images or one level above.
Byte-identical files always share a group, whatever the manifest says. (Just over 250 lines: one
page from a folder to checked samples.)
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud_worker.decode import decode
from cloud_worker.refusal import Refusal

SERVED_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
IMAGE_SUFFIXES = SERVED_SUFFIXES | {".bmp", ".tif", ".tiff"}
MANIFEST_NAMES = ("manifest.csv", "index.csv")
GROUP_COLUMNS = ("group", "patient", "slide", "near_duplicate_group")


class DataError(ValueError):
    """The data set cannot be used; the message names the files or rows."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image on disk."""

    path: Path
    label: str
    group: str
    sha256: str
    um_per_px: float | None = None
    copy: int = 0
    """0 for the image itself; n for its n-th augmented copy, where a paper augments before it splits."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a data set before anything of it is read."""

    path: Path
    label: str
    line: int = 0
    """Of the manifest; 0 for an image of a folder per class."""
    source: str = ""
    patient: str = ""
    slide: str = ""
    group: str = ""
    near_duplicate_group: str = ""
    um_per_px: float | None = None


def list_images(location: Path) -> list[ListedImage]:
    """Every image of a folder per class or a manifest, unread; DataError for a class without any."""
    manifest = manifest_of(location)
    if manifest:
        rows = _listed_rows(manifest)
        inside = location if location.is_dir() else manifest.parent
        return [row for row in rows if inside in row.path.parents] or rows
    empty = [
        folder
        for folder in sorted(location.iterdir())
        if folder.is_dir()
        and not folder.name.startswith(".")
        and not any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
    ]
    if empty:
        raise DataError(first_problems([f"{folder}: a class without images" for folder in empty]))
    return [ListedImage(row.path, row.label) for row in _folder_rows(location)]


def digest_and_image(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """sha256 of the file and its pixels; DataError where it is missing or damaged."""
    pixels = read_image(path)
    return hashlib.sha256(path.read_bytes()).hexdigest(), pixels


def first_problems(problems: Sequence[str]) -> str:
    """The first twenty, one a line, and how many more there are."""
    more = f"\nand {len(problems) - 20} more" if len(problems) > 20 else ""
    return "\n".join(problems[:20]) + more


def read_data_set(
    location: Path,
    labels: Sequence[str],
    *,
    um_per_px: float | None = None,
    done: Callable[[int], None] = lambda count: None,
    class_of: Callable[[str], str | None] = lambda label: label,
) -> list[Sample]:
    """All samples of a folder or CSV file whose labels are known, sorted by path.

    `class_of` turns a label of the data set into a class, or into None to leave its images out.
    Raises DataError for an unknown label, a class without images, or files that are missing or
    damaged: all of them are named, the first twenty at length.
    """
    manifest = manifest_of(location)
    rows = [
        replace(row, label=label)
        for row in (_manifest_rows(manifest) if manifest else _folder_rows(location))
        if (label := class_of(row.label)) is not None
    ]
    unknown = Counter(row.label for row in rows if row.label not in labels)
    if unknown:
        found = ", ".join(f"{label!r} ({count} images)" for label, count in unknown.items())
        first = next(row.path for row in rows if row.label in unknown)
        raise DataError(
            f"{manifest or location}: unknown label {found}; known: {', '.join(labels)}; "
            f"the first is {first}"
        )
    counts = Counter(row.label for row in rows)
    empty = [label for label in labels if not counts[label]]
    if empty:
        raise DataError(f"{manifest or location}: no images of class {', '.join(empty)}")
    samples, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            samples.append(
                replace(
                    row, sha256=digest_and_image(row.path)[0], um_per_px=row.um_per_px or um_per_px
                )
            )
        except DataError as problem:
            problems.append(str(problem))
        done(number)
    if problems:
        raise DataError(first_problems(problems))
    return sorted(join_identical(samples), key=lambda sample: sample.path)


def join_identical(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with groups merged wherever two groups hold byte-identical files."""
    leader: dict[str, str] = {sample.group: sample.group for sample in samples}

    def find(group: str) -> str:
        while leader[group] != group:
            leader[group] = leader[leader[group]]
            group = leader[group]
        return group

    first: dict[str, str] = {}
    for sample in samples:
        known = first.setdefault(sample.sha256, sample.group)
        leader[find(sample.group)] = find(known)
    return [replace(sample, group=find(sample.group)) for sample in samples]


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB uint8 H,W,3; DataError names a file that is missing, truncated or no image.

    JPEG, PNG and WebP go through the decoder that serves; data sets may hold BMP and TIFF as well.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if not data:
        raise DataError(f"{path}: the file is empty")
    if path.suffix.lower() in SERVED_SUFFIXES:
        pixels = decode(data)
        if isinstance(pixels, Refusal):
            raise DataError(f"{path}: {pixels.text}")
        return pixels
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"{path}: {error.err}") from error
    if image is None:
        raise DataError(f"{path}: damaged, or not an image")
    return np.asarray(image, np.uint8)


def manifest_of(location: Path) -> Path | None:
    """The CSV that says what is in a folder, if there is one; DataError where nothing is there."""
    if location.is_file():
        return location
    if not location.is_dir():
        raise DataError(f"{location}: no such folder or manifest")
    for folder in (location, location.parent):
        for name in MANIFEST_NAMES:
            manifest = folder / name
            # A manifest one level up belongs to this folder only where its rows point into it.
            if manifest.is_file() and (folder == location or _points_into(manifest, location)):
                return manifest
    return None


def _points_into(manifest: Path, folder: Path) -> bool:
    with manifest.open(newline="", encoding="utf-8") as file:
        row = next(iter(csv.DictReader(file)), None)
    if row is None or not row.get("path"):
        return False
    return folder in (manifest.parent / row["path"]).parents


def _manifest_rows(manifest: Path) -> list[Sample]:
    columns = _columns(manifest, "path", "label")
    group_column = next((name for name in GROUP_COLUMNS if name in columns), None)
    if group_column is None:
        raise DataError(f"{manifest}: no column a group ({', '.join(GROUP_COLUMNS)})")
    rows = _listed_rows(manifest)
    without = [row for row in rows if not getattr(row, group_column)]
    if without:
        lines = [f"{manifest}:{row.line}: {group_column} must not be empty" for row in without]
        raise DataError(first_problems(lines))
    return [
        Sample(row.path, row.label, getattr(row, group_column), "", row.um_per_px) for row in rows
    ]


def _columns(manifest: Path, *needed: str) -> set[str]:
    with manifest.open(newline="", encoding="utf-8") as file:
        columns = set(csv.DictReader(file).fieldnames or ())
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(f"{manifest}: no column {' and no column '.join(missing)}")
    return columns


def _listed_rows(manifest: Path) -> list[ListedImage]:
    _columns(manifest, "path", "label")
    rows, problems = [], []
    with manifest.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        for row in reader:
            where = f"{manifest}:{reader.line_num}"
            scale = (row.get("um_per_px") or "").strip()
            try:
                um_per_px = float(scale) if scale else None
            except ValueError:
                problems.append(f"{where}: um_per_px {scale!r} is not a number")
                continue
            if not (row["path"] and row["label"]):
                problems.append(f"{where}: path and label must not be empty")
                continue
            known = {name: row.get(name) or "" for name in ("source", *GROUP_COLUMNS)}
            path = manifest.parent / row["path"]
            rows.append(
                ListedImage(path, row["label"], reader.line_num, um_per_px=um_per_px, **known)
            )
    if problems:
        raise DataError(first_problems(problems))
    if not rows:
        raise DataError(f"{manifest}: no rows")
    return rows


def _folder_rows(location: Path) -> list[Sample]:
    samples = [
        Sample(path, folder.name, str(path.relative_to(location)), "")
        for folder in sorted(location.iterdir())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not samples:
        raise DataError(f"{location}: no manifest.csv, and no folder per class with images")
    return samples
