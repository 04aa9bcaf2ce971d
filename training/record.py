"""What a finished training leaves beside its bundle: history, split and predictions, for reports.

The folder is BUNDLE.training. It holds paths relative to the data set and no pixel of it, save the
checkpoint and an AC-GAN's generator, which learned from them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.card import Metric
from training.data import Sample
from training.history import StageHistory
from training.metrics import Numbers
from training.recipe import TrainingRecipe
from training.regimes import HONEST, overlap
from training.split import Parts

HISTORY_FILE, SPLIT_FILE, PREDICTIONS_FILE = "history.json", "split.json", "predictions.npz"
FIGURES_FILE, RUN_FILE = "figures.json", "run.json"
MANIFEST_FILE = "manifest.csv"
SHEET_FILE, GENERATOR_FILE = "generated.png", "generator.safetensors"


def training_folder(bundle: Path) -> Path:
    """Where a bundle's training is kept: beside it, never inside."""
    return bundle.with_name(f"{bundle.name}.training")


@dataclass(frozen=True, slots=True)
class Predicted:
    """Raw logits of one part's images."""

    samples: Sequence[Sample]
    logits: NDArray[np.float64]
    labels: Numbers


def write_split(folder: Path, recipe: TrainingRecipe, parts: Parts, root: Path) -> None:
    """Digests, groups, labels and paths of every part, and what training and test share."""
    split = recipe.split
    told = {
        "regime": split.regime,
        "honest": split.regime in HONEST,
        "fifth": split.fifth if split.regime == "contiguous_fifths" else None,
        "seed": split.seed,
        "parts": {
            name: {
                "images": len(part),
                "groups": [sample.group for sample in part],
                "sha256": [sample.sha256 for sample in part],
                "paths": [_shown(sample, root) for sample in part],
                "labels": [sample.label for sample in part],
                "copies": [sample.copy for sample in part],
            }
            for name, part in parts.named().items()
        },
        "overlap": asdict(overlap(parts)),
    }
    _write_json(folder / SPLIT_FILE, told)


def write_history(
    folder: Path,
    recipe: TrainingRecipe,
    history: Sequence[StageHistory],
    compute: str,
    started_from: str,
) -> None:
    """Every epoch of every stage, with the seeds and the machine."""
    told = {
        "recipe": recipe.name,
        "paper": recipe.paper,
        "architecture": recipe.architecture,
        "data_set": recipe.data.name,
        "regime": recipe.split.regime,
        "reduced": recipe.reduced,
        "compute": compute,
        "initial_weights": started_from,
        "seeds": {"training": recipe.seed, "split": recipe.split.seed},
        "stages": [stage.plain() for stage in history],
    }
    _write_json(folder / HISTORY_FILE, told)


def write_predictions(
    folder: Path,
    names: Sequence[str],
    temperature: float,
    *,
    test: Predicted,
    calibration: Predicted,
    root: Path,
) -> None:
    """Logits of the test part, and of the calibration part that the temperature was fitted on."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{PREDICTIONS_FILE}"
    with partial.open("wb") as out:
        arrays: dict[str, Any] = {
            "classes": np.array(names),
            "temperature": np.array(temperature),
            **_arrays(test, "", root),
            **_arrays(calibration, "calibration_", root),
        }
        np.savez_compressed(out, **arrays)
    partial.replace(folder / PREDICTIONS_FILE)


def write_figures(folder: Path, figures: Sequence[Metric]) -> None:
    """The figures on the test part that a card holds, baselines included: a card may not be made."""
    _write_json(folder / FIGURES_FILE, {"figures": [one.model_dump() for one in figures]})


def write_run(folder: Path, recipe: TrainingRecipe, command: str) -> None:
    """What a table says of how a record was made; how long it took is in its history."""
    told = {
        "command": command,
        "segmentation": recipe.segmentation,
        "input_px": recipe.input.height_px,
        "most_images": recipe.most_images,
    }
    _write_json(folder / RUN_FILE, told)


def _arrays(part: Predicted, prefix: str, root: Path) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}logits": part.logits,
        f"{prefix}labels": part.labels,
        f"{prefix}ids": np.array([sample.sha256 for sample in part.samples]),
        f"{prefix}groups": np.array([sample.group for sample in part.samples]),
        f"{prefix}paths": np.array([_shown(sample, root) for sample in part.samples]),
    }


def _shown(sample: Sample, root: Path) -> str:
    return Path(os.path.relpath(sample.path, root)).as_posix()


def _write_json(file: Path, told: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(file)
