"""Recipes as frozen types, read from TOML; a recipe says how to train and holds no result."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloud_worker.models.card import ClassCard
from cloud_worker.models.registry import UnknownArchitectureError, architecture

RECIPES = Path(__file__).resolve().parent / "recipes"

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class RecipeError(ValueError):
    """The recipe is missing or wrong; the message lists all its problems."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulated(_Part):
    """What to render when the data set is `simulated`."""

    slides: int = Field(ge=1)
    fields: int = Field(ge=1)
    seed: int = Field(ge=0)
    width_px: int = Field(default=640, ge=32)
    height_px: int = Field(default=480, ge=32)
    um_per_px: float = Field(default=0.2, gt=0)


class Data(_Part):
    """Facts about the training data that go into the card."""

    kind: Literal["synthetic", "real"]
    name: str
    licence: str
    credit: str
    grouped_by: str
    notes: str = ""
    um_per_px: float | None = None
    """Scale of images whose manifest does not give one."""
    simulated: Simulated | None = None


class Input(_Part):
    """The network's input."""

    height_px: int = Field(ge=28)
    width_px: int = Field(ge=28)
    um_per_px: float = Field(gt=0)
    masked_corner_px: int = Field(default=0, ge=0)
    tile_overlap: float = Field(default=0.25, ge=0, le=0.75)


class SplitShares(_Part):
    """Shares of groups that are kept from training."""

    calibration: float = Field(gt=0, lt=0.5)
    test: float = Field(gt=0, lt=0.5)
    seed: int = Field(ge=0)


class Stage(_Part):
    """Some epochs with one input size; the next stage goes on from its weights."""

    name: str
    learns: Literal["classes", "cell_types"]
    """`cell_types` cuts single cells out of simulated fields and learns their type."""
    height_px: int = Field(ge=28)
    width_px: int = Field(ge=28)
    """Smaller than the input: a random part of each image; the same: the whole input."""
    epochs: int = Field(ge=1)
    batch: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=0.5)


class Augmentation(_Part):
    """Strengths of the random changes to training images, after the split; 0 turns one off."""

    flips: bool = True
    channel_gain: float = Field(default=0.0, ge=0, le=0.5)
    absorbance: float = Field(default=0.0, ge=0, le=0.5)
    """Spread of the exponent per channel: a stronger or weaker stain."""
    gamma: float = Field(default=0.0, ge=0, le=0.5)
    saturation: float = Field(default=0.0, ge=0, le=1)
    blur_px: float = Field(default=0.0, ge=0, le=3)
    blur_share: Share = 0.0
    noise: float = Field(default=0.0, ge=0, le=0.2)
    jpeg_share: Share = 0.0
    jpeg_quality: tuple[int, int] = (70, 95)


class CalibrationTargets(_Part):
    """What the thresholds of the decision must reach on the calibration part."""

    acute_sensitivity: Share = 0.99
    chronic_sensitivity: Share = 0.95
    abstention_risk: Share = 0.02
    ood_dims: int = Field(default=64, ge=1, le=256)
    ood_percentile: float = Field(default=97.5, gt=50, lt=100)


class TrainingRecipe(_Part):
    """A whole recipe."""

    name: str
    task: str
    architecture: str
    initial_weights: str = "random"
    """`random`, `imagenet` (random where there is no network), or a file."""
    seed: int = Field(ge=0)
    limits_of_use: tuple[str, ...] = Field(min_length=1)
    data: Data
    classes: tuple[ClassCard, ...] = Field(min_length=2)
    input: Input
    split: SplitShares
    stages: tuple[Stage, ...] = Field(min_length=1)
    augmentation: Augmentation
    calibration: CalibrationTargets

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for stage in self.stages:
            if stage.height_px > self.input.height_px or stage.width_px > self.input.width_px:
                raise ValueError(f"stage {stage.name!r} is larger than the input")
        if self.stages[-1].learns != "classes":
            raise ValueError("the last stage must learn the classes")
        return self

    def with_epochs(self, epochs: int) -> TrainingRecipe:
        """The same recipe with this many epochs in its last stage."""
        last = self.stages[-1].model_copy(update={"epochs": epochs})
        return self.model_copy(update={"stages": (*self.stages[:-1], last)})


def check_network(recipe: TrainingRecipe) -> None:
    """RecipeError where the recipe's network cannot learn from its input."""
    try:
        row = architecture(recipe.architecture)
    except UnknownArchitectureError as error:
        raise RecipeError(str(error)) from error
    if row.inputs != ("original",):
        raise RecipeError(
            f"{row.name} learns from {' and '.join(row.inputs)} images, "
            f"and this command gives it the original only"
        )
    sizes = [("input", recipe.input.height_px, recipe.input.width_px)]
    sizes += [(f"stage {stage.name}", stage.height_px, stage.width_px) for stage in recipe.stages]
    for what, height_px, width_px in sizes:
        if row.only_px is not None and (height_px, width_px) != (row.only_px, row.only_px):
            raise RecipeError(
                f"{row.name} takes {row.only_px}x{row.only_px} px only, "
                f"and the {what} is {width_px}x{height_px} px"
            )


def load_recipe(name_or_file: str) -> TrainingRecipe:
    """The shipped recipe of that name, or the TOML file; raises RecipeError with all problems."""
    file = Path(name_or_file)
    if not file.is_file():
        file = RECIPES / f"{name_or_file}.toml"
    if not file.is_file():
        shipped = ", ".join(sorted(found.stem for found in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe {name_or_file!r}: give a TOML file or one of {shipped}")
    try:
        return TrainingRecipe.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file}: {error}") from error
    except ValidationError as error:
        problems = "\n".join(
            f"{file}: {'.'.join(str(part) for part in problem['loc']) or 'recipe'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise RecipeError(problems) from error
