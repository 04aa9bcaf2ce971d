"""The calibration of a device in its data folder: loaded, replaced, undone as a whole; it measures nothing.

What was written in edge.toml (or the environment) wins over the calibration, and that over the
defaults. Each calibration keeps the one before it, so the last step can be taken back. A focus limit
belongs to the measure of focus that it was learned with; with another one it is left out, and said.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from edge_device.gate.focus import FOCUS_MEASURE
from edge_device.gate.settings import GateSettings
from service_runtime.settings import Settings

CALIBRATION_FILE: Final = "calibration.json"
_BEFORE_FILE: Final = "calibration.before.json"


class CalibrationError(Exception):
    """The calibration cannot be made, read or undone; the message says why, and nothing changed."""


class MeasuredScale(Settings):
    """um per pixel, from what, and how widely the single measurements spread."""

    um_per_px: float = Field(gt=0, le=100, allow_inf_nan=False)
    #: Share of the scale: half of the interquartile range over the median.
    spread: float = Field(ge=0, allow_inf_nan=False)
    source: Literal["micrometer", "red_cells"]
    #: Divisions or red cells that were measured.
    count: int = Field(ge=1)
    #: In so many pictures.
    pictures: int = Field(default=1, ge=1)


class LearnedLimit(Settings):
    """A limit of the gate, and the frames that it lies between."""

    limit: float = Field(allow_inf_nan=False)
    worst_good: float = Field(allow_inf_nan=False)
    #: None where no bad frame was bad by this score.
    best_bad: float | None = Field(default=None, allow_inf_nan=False)


class Calibration(Settings):
    """What was learned of one device; `version` grows by one with each calibration."""

    version: int = Field(ge=1)
    #: ISO 8601, UTC; for display only.
    made_at: str = ""
    operator: str = ""
    good_frames: int = Field(default=0, ge=0)
    bad_frames: int = Field(default=0, ge=0)
    #: Name of a limit in GateSettings to what was learned.
    limits: Mapping[str, LearnedLimit] = Field(default_factory=dict)
    scale: MeasuredScale | None = None
    #: What measured the focus when `limits` were learned; files from before there was a choice: "".
    focus_measure: str = ""
    #: A focus limit of the file that was learned with another measure, and does not hold.
    outdated_min_focus: float | None = Field(default=None, exclude=True)


def load_calibration(data_dir: Path) -> Calibration | None:
    """The device's calibration, or None where there is none; without a focus limit of another measure.

    Raises CalibrationError for a file that cannot be used: wrong limits must not be a guess.
    """
    path = data_dir / CALIBRATION_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}") from error
    try:
        calibration = Calibration.model_validate_json(text)
        effective_gate(GateSettings(), calibration)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(str(part) for part in wrong["loc"])
        raise CalibrationError(
            f"{path} cannot be used: {where}: {wrong['msg']}."
            " Take it back with `hemowire edge calibrate --undo`, or remove it."
        ) from error
    return _without_outdated_focus(calibration)


def _without_outdated_focus(calibration: Calibration) -> Calibration:
    found = calibration.limits.get("min_focus")
    if found is None or calibration.focus_measure == FOCUS_MEASURE:
        return calibration
    rest = {name: limit for name, limit in calibration.limits.items() if name != "min_focus"}
    return calibration.model_copy(update={"limits": rest, "outdated_min_focus": found.limit})


def save_calibration(data_dir: Path, calibration: Calibration) -> None:
    """Replaces the device's calibration at once or not at all; the one before is kept for undo."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path, before = data_dir / CALIBRATION_FILE, data_dir / _BEFORE_FILE
    if path.exists():
        _write(before, path.read_bytes())
    else:
        before.unlink(missing_ok=True)
    _write(path, calibration.model_dump_json(indent=2).encode() + b"\n")


def undo_calibration(data_dir: Path) -> Calibration | None:
    """Takes the last calibration back and gives the one that holds now; None: the defaults."""
    path, before = data_dir / CALIBRATION_FILE, data_dir / _BEFORE_FILE
    if not path.exists():
        raise CalibrationError(f"{path} does not exist: there is no calibration to take back")
    if before.exists():
        before.replace(path)
    else:
        path.unlink()
    _sync_folder(data_dir)
    return load_calibration(data_dir)


def effective_gate(settings: GateSettings, calibration: Calibration | None) -> GateSettings:
    """The limits that hold: what edge.toml says, else the calibration, else the default."""
    if calibration is None:
        return settings
    learned = {
        name: found.limit
        for name, found in calibration.limits.items()
        if name not in settings.model_fields_set
    }
    return GateSettings.model_validate(settings.model_dump() | learned)


def effective_scale(
    setting: float | Literal["estimate"] | None, calibration: Calibration | None
) -> float | Literal["estimate"] | None:
    """um per pixel that holds: what edge.toml says, else the calibration's, else unknown."""
    if setting is not None or calibration is None or calibration.scale is None:
        return setting
    return calibration.scale.um_per_px


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
