"""A training's state on disk, replaced in one step after every epoch; refuses another recipe's.

A process may be killed at any moment: the file is the last whole epoch's or the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.recipe import TrainingRecipe

CHECKPOINT_FILE = "checkpoint.pt"

_KEPT = (
    "architecture",
    "initial_weights",
    "seed",
    "classes",
    "input",
    "split",
    "paper_split",
    "gan",
    "stages",
    "augmentation",
    "segmentation",
    "reduced",
    "most_images",
)
"""What of a recipe the weights depend on."""


class ResumeError(ValueError):
    """The checkpoint belongs to another recipe or other images."""


def save_checkpoint(file: Path, state: Mapping[str, Any]) -> None:
    """Replace the file in one step, so that a kill leaves the old or the new one whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as out:
        torch.save(dict(state), out)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def load_checkpoint(file: Path, recipe: TrainingRecipe, images: str = "") -> dict[str, Any] | None:
    """The saved state, None where there is none; ResumeError where it is another training's.

    `images` is the digest of the training part.
    """
    if not file.is_file():
        return None
    try:
        saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        then = _learned_so_far(saved["recipe"], saved["stage"])
    except Exception as error:  # a damaged pickle raises what it likes
        raise ResumeError(f"{file}: not a checkpoint ({error}); train without --resume") from error
    now = _learned_so_far(recipe.model_dump_json(), saved["stage"])
    if then != now:
        changed = ", ".join(key for key in now if then.get(key) != now[key])
        raise ResumeError(
            f"{file} was made with another recipe ({changed}); train without --resume"
        )
    if images and saved.get("images", images) != images:
        raise ResumeError(f"{file} was made with other training images; train without --resume")
    return saved


def _learned_so_far(signature: str, stage: int) -> dict[str, Any]:
    """What of a recipe the weights depend on after this stage: later stages may still change.

    Read as a recipe, so that a setting which came later has its default.
    """
    recipe = TrainingRecipe.model_validate(json.loads(signature)).model_dump(mode="json")
    recipe["stages"] = recipe["stages"][: stage + 1]
    return {key: recipe[key] for key in _KEPT}
