"""Which images a data set has, with label, group and digest; it refuses damaged or unlabelled ones.

Two layouts: a folder per class, or a CSV manifest with the columns path, label and a group
(`group`, `slide`, `patient` or `near_duplicate_group`) beside the images or one level above.
Byte-identical files always share a group, whatever the manifest says.
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


def read_data_set(
    location: Path,
    labels: Sequence[str],
    *,
    um_per_px: float | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> list[Sample]:
    """All samples of a folder or CSV file whose labels are known, sorted by path.

    Raises DataError for an unknown label, a class without images, or files that are missing or
    damaged: all of them are named, the first twenty at length.
    """
    manifest = _manifest_of(location)
    rows = _manifest_rows(manifest) if manifest else _folder_rows(location)
    unknown = Counter(row.label for row in rows if row.label not in labels)
    if unknown:
        found = ", ".join(f"{label!r} ({count} images)" for label, count in unknown.items())
        raise DataError(
            f"{manifest or location}: unknown label {found}; known: {', '.join(labels)}"
        )
    counts = Counter(row.label for row in rows)
    empty = [label for label in labels if not counts[label]]
    if empty:
        raise DataError(f"{manifest or location}: no images of class {', '.join(empty)}")
    samples, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            samples.append(
                replace(row, sha256=_checked_digest(row.path), um_per_px=row.um_per_px or um_per_px)
            )
        except DataError as problem:
            problems.append(str(problem))
        done(number)
    if problems:
        more = f"\nand {len(problems) - 20} more" if len(problems) > 20 else ""
        raise DataError("\n".join(problems[:20]) + more)
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


def _checked_digest(path: Path) -> str:
    read_image(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _manifest_of(location: Path) -> Path | None:
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
    with manifest.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        missing = [name for name in ("path", "label") if name not in columns]
        group_column = next((name for name in GROUP_COLUMNS if name in columns), None)
        if group_column is None:
            missing.append(f"a group ({', '.join(GROUP_COLUMNS)})")
        if missing:
            raise DataError(f"{manifest}: no column {' and no column '.join(missing)}")
        samples, problems = [], []
        for row in reader:
            where = f"{manifest}:{reader.line_num}"
            scale = (row.get("um_per_px") or "").strip()
            try:
                um_per_px = float(scale) if scale else None
            except ValueError:
                problems.append(f"{where}: um_per_px {scale!r} is not a number")
                continue
            if not (row["path"] and row["label"] and row[str(group_column)]):
                problems.append(f"{where}: path, label and {group_column} must not be empty")
                continue
            path = manifest.parent / row["path"]
            samples.append(Sample(path, row["label"], row[str(group_column)], "", um_per_px))
    if problems:
        raise DataError("\n".join(problems[:20]))
    if not samples:
        raise DataError(f"{manifest}: no rows")
    return samples


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
