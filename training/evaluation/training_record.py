"""What a training left beside its bundle, read for reports: epochs, and its test part under its way of splitting."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.data import DataError
from training.evaluation.answers import Answered, whole_figures
from training.evaluation.document import EpochRow, RegimeRow, Share
from training.record import HISTORY_FILE, PREDICTIONS_FILE, SPLIT_FILE, training_folder

REGIME_WORDS = {
    "paper": "the paper's: augmented, then split by image",
    "by_image": "by image",
    "by_group": "by group",
    "contiguous_fifths": "contiguous fifths of the file order",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One finished training."""

    split: dict[str, Any]
    history: dict[str, Any]
    answered: Answered
    classes: tuple[str, ...]


def read_epochs(bundle: Path) -> tuple[EpochRow, ...]:
    """Every epoch of every stage; empty where the bundle's training is not kept beside it."""
    file = training_folder(bundle) / HISTORY_FILE
    if not file.is_file():
        return ()
    told = json.loads(file.read_text(encoding="utf-8"))
    return tuple(
        EpochRow(
            stage=stage["name"],
            epoch=epoch["epoch"],
            loss=epoch["loss"],
            accuracy=epoch["accuracy"],
            validation_loss=epoch.get("validation_loss"),
            validation_accuracy=epoch.get("validation_accuracy"),
        )
        for stage in told["stages"]
        for epoch in stage["epochs"]
    )


def read_record(bundle: Path) -> Record:
    """The record beside a bundle; DataError where a file of it is missing."""
    folder = training_folder(bundle)
    missing = [
        n for n in (SPLIT_FILE, HISTORY_FILE, PREDICTIONS_FILE) if not (folder / n).is_file()
    ]
    if missing:
        raise DataError(f"{folder}: no {', '.join(missing)}; train the bundle again")
    with np.load(folder / PREDICTIONS_FILE) as file:
        answered = Answered(
            logits=file["logits"].astype(np.float64),
            labels=file["labels"].astype(np.int64),
            groups=np.unique(file["groups"], return_inverse=True)[1],
            temperature=float(file["temperature"]),
        )
        classes = tuple(str(name) for name in file["classes"])
    split = json.loads((folder / SPLIT_FILE).read_text(encoding="utf-8"))
    history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
    return Record(split, history, answered, classes)


def regime_row(record: Record, *, bundle: str, mean_rgb: float | None) -> RegimeRow:
    """The training's test part as one row of the regimes' table."""
    figures = {one.name: one for one in whole_figures(record.answered)}

    def share(name: str) -> Share:
        one = figures[name]
        return Share(value=one.value, low=one.low or 0.0, high=one.high or 1.0)

    split = record.split
    words = REGIME_WORDS[split["regime"]]
    if split["regime"] == "paper" and not any(split["parts"]["train"]["copies"]):
        words = "the paper's: by image"
    if split.get("fifth"):
        words += f" (fifth {split['fifth']} held out)"
    return RegimeRow(
        regime=split["regime"],
        words=words,
        system=record.history["architecture"],
        test_images=len(record.answered.labels),
        test_groups=len(np.unique(record.answered.groups)),
        accuracy=share("overall_accuracy"),
        balanced_accuracy=share("balanced_accuracy"),
        macro_f1=share("macro_f1"),
        mean_rgb_balanced_accuracy=mean_rgb,
        groups_shared=int(split["overlap"]["groups"]),
        bundle=bundle,
    )
