"""Frames of a folder learned and corrected as if they came from a device; nothing of the device's own is touched."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_device.flat_field.background import Background, Pixels, Unfit, look
from edge_device.flat_field.evenness import Evenness, background_mask, evenness
from edge_device.flat_field.flat_field import FlatField, FlatFieldState
from edge_device.flat_field.settings import FlatFieldSettings

#: Files that a report reads.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
Step = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that was looked at once; its pixels are read again when they are needed."""

    path: Path
    width_px: int
    height_px: int
    found: Background | Unfit


@dataclass(frozen=True, slots=True)
class Replayed:
    """One frame before and after, and the measure of both; version 0: left as it was."""

    path: Path
    raw: Pixels
    corrected: Pixels
    version: int
    before: Evenness
    after: Evenness
    state: FlatFieldState


def image_files(folder: Path) -> list[Path]:
    """The image files below the folder, in order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def read(path: Path) -> Pixels | None:
    """The pixels as BGR; None where the file is no image that OpenCV reads."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def look_at(paths: Sequence[Path]) -> list[Seen]:
    """Looks at each file that is an image."""
    seen = []
    for path in paths:
        pixels = read(path)
        if pixels is not None:
            seen.append(Seen(path, pixels.shape[1], pixels.shape[0], look(pixels)))
    return seen


def leave_out(
    seen: Sequence[Seen],
    settings: FlatFieldSettings,
    is_left_out: Callable[[Path, Path], bool] = lambda frame, other: frame == other,
) -> Iterator[Replayed]:
    """Each frame corrected by what the others taught, in their order, a new FlatField each time."""
    for frame in seen:
        with tempfile.TemporaryDirectory() as folder:
            field = FlatField(Path(folder), settings)
            for other in seen:
                if isinstance(other.found, Background) and not is_left_out(frame.path, other.path):
                    field.teach(other.width_px, other.height_px, other.found)
            yield replay_one(field, frame.path)


def in_sequence(seen: Sequence[Seen], settings: FlatFieldSettings) -> Iterator[Replayed]:
    """In their order, each frame corrected by what was learned of those before it."""
    with tempfile.TemporaryDirectory() as folder:
        field = FlatField(Path(folder), settings)
        for frame in seen:
            yield replay_one(field, frame.path)
            if isinstance(frame.found, Background):
                field.teach(frame.width_px, frame.height_px, frame.found)


def replay_one(field: FlatField, path: Path) -> Replayed:
    """One file through a field as it is."""
    raw = read(path)
    if raw is None:
        raise ValueError(f"{path}: no longer an image")
    corrected = field.correct(raw)
    mask = background_mask(raw)
    before = evenness(raw, mask)
    after = before if corrected is raw else evenness(corrected, mask)
    return Replayed(path, raw, corrected, field.version, before, after, field.state)
