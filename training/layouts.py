"""The folder layouts of the public data sets, each listed with its labels, sources and patients.

A layout is known by its folders' names. What has none of them is a folder per class. Names are all that
is read here; a name that breaks its layout's rule is an error that names the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data import IMAGE_SUFFIXES, DataError, ListedImage, first_problems

CNMC_LABELS = "C-NMC_test_prelim_phase_data_labels.csv"
FOUR_CLASSES = ("Benign", "Early", "Pre", "Pro")

_ALL_IDB_NAME = re.compile(r"(Im\d{3})_([01])")
_ALL_IDB_COPY = {"Im108_0": "Im093_0"}
"""ALL-IDB1 holds this image twice."""
_CNMC_NAME = re.compile(r"UID_(?P<patient>H?\d+)_\d+_\d+_(?P<label>all|hem)")


@dataclass(frozen=True, slots=True)
class Layout:
    """One data set's way of laying out its images."""

    name: str
    fits: Callable[[Path], bool]
    images: Callable[[Path], Iterator[ListedImage]]
    groups: str
    """What its names say of patients or slides."""


def list_layout(location: Path) -> tuple[Layout, list[ListedImage]] | None:
    """The layout that `location` has and its images by path; None for a plain folder per class."""
    fitting = [layout for layout in LAYOUTS if layout.fits(location)]
    if len(fitting) > 1:
        names = " and ".join(layout.name for layout in fitting)
        raise DataError(f"{location}: holds {names}; index one, for one is cut out of the other")
    if not fitting:
        return None
    images = sorted(fitting[0].images(location), key=lambda image: image.path)
    if not images:
        raise DataError(f"{location}: laid out as {fitting[0].name}, but without images")
    return fitting[0], images


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _below(location: Path, name: str, folder: str) -> Path | None:
    """`location/name/folder`, where the location itself may be called `name`."""
    whole, inner = location / name / folder, location / folder
    if whole.is_dir():
        return whole
    return inner if location.name == name and inner.is_dir() else None


def _all_idb(location: Path, name: str, folder: str) -> Iterator[ListedImage]:
    found = _below(location, name, folder)
    for path in _files(found) if found else []:
        match = _ALL_IDB_NAME.fullmatch(path.stem)
        if match is None:
            raise DataError(f"{path}: {name} names are ImNNN_1 (ALL) and ImNNN_0")
        twin = _ALL_IDB_COPY.get(path.stem, path.stem) if name == "ALL_IDB1" else path.stem
        label = "ALL" if match[2] == "1" else "Healthy"
        yield ListedImage(path, label, source=name, near_duplicate_group=twin)


def _four_class(location: Path) -> Iterator[ListedImage]:
    for label in FOUR_CLASSES:
        for path in _files(location / "Original" / label):
            yield ListedImage(path, label, source="B-ALL four-class")


def _cnmc(location: Path) -> Iterator[ListedImage]:
    problems = []
    for fold in sorted(location.glob("fold_[0-9]")):
        for label in ("all", "hem"):
            for path in _files(fold / label) if (fold / label).is_dir() else []:
                match = _CNMC_NAME.fullmatch(path.stem)
                if match is None or match["label"] != label:
                    problems.append(f"{path}: C-NMC names are UID_P_N_C_{label}")
                else:
                    patient = f"{label}-{match['patient']}"
                    yield ListedImage(path, label, source="C-NMC", patient=patient)
    for labels in sorted(location.rglob(CNMC_LABELS)):
        with labels.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                image = next(iter(sorted(labels.parent.rglob(row["new_names"]))), None)
                match = _CNMC_NAME.fullmatch(Path(row["Patient_ID"]).stem)
                if image is None or match is None:
                    problems.append(f"{labels}: no image or no patient for {row['new_names']}")
                else:
                    patient = f"{match['label']}-{match['patient']}"
                    yield ListedImage(image, match["label"], source="C-NMC", patient=patient)
    if problems:
        raise DataError(first_problems(problems))


def _raabin(location: Path) -> Iterator[ListedImage]:
    for part in ("Train", "TestA", "TestB"):
        for folder in sorted((location / part).glob("*")) if (location / part).is_dir() else []:
            for path in _files(folder) if folder.is_dir() else []:
                yield ListedImage(path, folder.name, source=f"Raabin-WBC {part}")


def _bccd(location: Path) -> Iterator[ListedImage]:
    for path in _files(location / "JPEGImages"):
        yield ListedImage(path, "BCCD", source="BCCD")


LAYOUTS = (
    Layout(
        "ALL-IDB1",
        lambda at: _below(at, "ALL_IDB1", "im") is not None,
        lambda at: _all_idb(at, "ALL_IDB1", "im"),
        "none; one image is known to be there twice",
    ),
    Layout(
        "ALL-IDB2",
        lambda at: _below(at, "ALL_IDB2", "img") is not None,
        lambda at: _all_idb(at, "ALL_IDB2", "img"),
        "none; cells cut out of ALL-IDB1",
    ),
    Layout(
        "four-class B-ALL",
        lambda at: all((at / "Original" / label).is_dir() for label in FOUR_CLASSES),
        _four_class,
        "none: near-duplicates only, not patients",
    ),
    Layout(
        "C-NMC 2019",
        lambda at: (at / "fold_0").is_dir() or (at / CNMC_LABELS).is_file(),
        _cnmc,
        "patients",
    ),
    Layout(
        "Raabin-WBC",
        lambda at: (at / "Train").is_dir() and (at / "TestA").is_dir(),
        _raabin,
        "none in the folders",
    ),
    Layout(
        "BCCD",
        lambda at: (at / "JPEGImages").is_dir() and (at / "Annotations").is_dir(),
        _bccd,
        "none; boxes instead of classes",
    ),
)
