"""Recipes as frozen types, read from TOML; a recipe says how to train and holds no result.

A recipe names a data set of data_sets/ or holds its facts itself. (Over 250 lines: one page says all that
a recipe can say.)
"""

from __future__ import annotations

import tomllib
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloud_worker.models.card import ClassCard
from cloud_worker.models.registry import (
    OutputStrideError,
    UnknownArchitectureError,
    architecture,
    stride_of,
)

RECIPES = Path(__file__).resolve().parent / "recipes"
DATA_SETS = Path(__file__).resolve().parent / "data_sets"

Regime = Literal["paper", "by_image", "by_group", "contiguous_fifths"]
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
    aliases: dict[str, str] = {}
    """Label of a data set -> name of the class here, where the two differ."""
    ignored_labels: tuple[str, ...] = ()
    """Labels whose images are left out."""
    whole_images: bool = False
    """Images of unknown scale and any size: each is resized as a whole, as its paper does."""


class Input(_Part):
    """The network's input."""

    height_px: int = Field(ge=28)
    width_px: int = Field(ge=28)
    um_per_px: float = Field(gt=0)
    made_for_um_per_px: float | None = Field(default=None, gt=0)
    """Scale of the images themselves, where the network sees them much smaller."""
    masked_corner_px: int = Field(default=0, ge=0)
    tile_overlap: float = Field(default=0.25, ge=0, le=0.75)


class SplitShares(_Part):
    """Shares that are kept from training, and by which regime."""

    calibration: float = Field(gt=0, lt=0.5)
    test: float = Field(gt=0, lt=0.5)
    validation: float = Field(default=0.0, ge=0, lt=0.5)
    """Watched after each epoch: needed to stop early."""
    seed: int = Field(ge=0)
    regime: Regime = "by_group"
    fifth: int = Field(default=5, ge=1, le=5)
    """Which fifth is the test part of contiguous_fifths."""


class PaperSplit(_Part):
    """How the paper splits, for the regime `paper`; without copies that is by image."""

    enlarge: dict[str, float] = {}
    """Label -> images after the paper's augmentation per image before, made BEFORE the split."""


class Gan(_Part):
    """An AC-GAN's own settings; a stage gives epochs, batch and learning rate."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    sheet_columns: int = Field(default=8, ge=1, le=32)
    """Generated pictures per class on the sample sheet."""


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
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    balance: Share = 1.0
    """1 shows every class equally often, 0 as often as it comes; single cells take half of it."""
    map_inside: float = Field(default=0.0, ge=0, le=10)
    """Weight of the loss's map term: the share of the true class's positive evidence that its map puts
    outside white cells. Where the simulator's masks do not tell, the segmentation finds them; 0 leaves it out."""
    evidence_inside: float = Field(default=0.0, ge=0, le=10)
    """Weight of the other map term: the share of all classes' evidence, for and against, outside white cells."""
    other_background: Share = 0.0
    """Share of images whose background, all but the white cells, takes on the colours of another image's."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a lower validation loss, and keep the best epoch's weights."""

    @property
    def needs_cells(self) -> bool:
        """Whether it must know where the white cells are."""
        return bool(self.map_inside or self.evidence_inside or self.other_background)

    @property
    def teaches_maps(self) -> bool:
        """Whether its loss looks at the maps."""
        return bool(self.map_inside or self.evidence_inside)


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
    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Largest shift as a share of a side; what comes into view mirrors the border."""
    zoom: float = Field(default=0.0, ge=0, le=0.5)
    shear_deg: float = Field(default=0.0, ge=0, le=45)
    brightness: float = Field(default=0.0, ge=0, le=0.5)
    contrast: float = Field(default=0.0, ge=0, le=0.5)


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
    output_stride: int | None = None
    """Of the network's maps where that is not its own."""
    initial_weights: str = "random"
    """`random`, `imagenet` (random where there is no network), a file or a bundle."""
    seed: int = Field(ge=0)
    paper: str = ""
    """Whose experiment this is; empty for our own."""
    data_set: str = ""
    """A file of data_sets/ that gives task, data, classes and limits of use."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    segmentation: Literal["authors", "cells"] = "authors"
    """What makes the segmented picture of a network that sees one."""
    reduced: bool = False
    """Fewer images, epochs and pixels than the recipe's own: a look at two cores, said in the card."""
    most_images: int | None = Field(default=None, ge=1)
    """Per class and part, whole groups at a time; None takes all."""
    limits_of_use: tuple[str, ...] = Field(min_length=1)
    data: Data
    classes: tuple[ClassCard, ...] = Field(min_length=2)
    input: Input
    split: SplitShares
    paper_split: PaperSplit = PaperSplit()
    gan: Gan | None = None
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
        for setting in ("map_inside", "evidence_inside", "other_background"):
            those = [stage for stage in self.stages if getattr(stage, setting)]
            if any(stage.learns != "classes" for stage in those):
                raise ValueError(f"{setting} belongs to stages that learn classes")
            if those and self.gan is not None:
                raise ValueError(f"{setting} has no meaning for an AC-GAN")
        if any(stage.patience for stage in self.stages) and not self.split.validation:
            raise ValueError("a stage with patience needs a validation share in [split]")
        if self.gan is not None and (self.architecture != "ac_gan" or len(self.stages) != 1):
            raise ValueError("[gan] trains ac_gan, in one stage")
        return self

    def with_epochs(self, epochs: int) -> TrainingRecipe:
        """The same recipe with this many epochs in its last stage."""
        last = self.stages[-1].model_copy(update={"epochs": epochs})
        return self.model_copy(update={"stages": (*self.stages[:-1], last)})

    def with_architecture(self, name: str) -> TrainingRecipe:
        """The same recipe for another network, whose maps have their own stride."""
        if name == self.architecture:
            return self
        return self.model_copy(update={"architecture": name, "output_stride": None})

    def with_regime(self, regime: Regime, fifth: int | None = None) -> TrainingRecipe:
        """The same recipe split by another regime; only the paper's leaves a scale bar in sight."""
        split = self.split.model_copy(update={"regime": regime, "fifth": fifth or self.split.fifth})
        seen = {"masked_corner_px": 0} if regime == "paper" else {}
        return self.model_copy(update={"split": split, "input": self.input.model_copy(update=seen)})


def check_network(recipe: TrainingRecipe) -> None:
    """RecipeError where the recipe's network cannot learn from its input."""
    try:
        row = architecture(recipe.architecture)
    except UnknownArchitectureError as error:
        raise RecipeError(str(error)) from error
    if any(stage.teaches_maps for stage in recipe.stages) and row.map_layer is None:
        raise RecipeError(f"{row.name} has no exact map to teach: {row.no_map}")
    if any(stage.needs_cells for stage in recipe.stages) and "segmented" in row.inputs:
        raise RecipeError(
            f"{row.name} sees a segmented picture: map_inside, evidence_inside and other_background "
            "are not for it"
        )
    try:
        stride_of(row.name, recipe.output_stride)
    except OutputStrideError as error:
        raise RecipeError(str(error)) from error
    sizes = [("input", recipe.input.height_px, recipe.input.width_px)]
    sizes += [(f"stage {stage.name}", stage.height_px, stage.width_px) for stage in recipe.stages]
    for what, height_px, width_px in sizes:
        if row.only_px is not None and (height_px, width_px) != (row.only_px, row.only_px):
            raise RecipeError(
                f"{row.name} takes {row.only_px}x{row.only_px} px only, "
                f"and the {what} is {width_px}x{height_px} px"
            )


def load_recipe(name_or_file: str, data_set: str = "") -> TrainingRecipe:
    """The shipped recipe of that name, or the TOML file; raises RecipeError with all problems.

    `data_set` takes the place of the one that the recipe names.
    """
    file = Path(name_or_file)
    if not file.is_file():
        file = RECIPES / f"{name_or_file}.toml"
    if not file.is_file():
        shipped = ", ".join(sorted(found.stem for found in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe {name_or_file!r}: give a TOML file or one of {shipped}")
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        if data_set:
            raw["data_set"] = data_set
        return TrainingRecipe.model_validate(_on_data_set(raw) if raw.get("data_set") else raw)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file}: {error}") from error
    except ValidationError as error:
        problems = "\n".join(
            f"{file}: {'.'.join(str(part) for part in problem['loc']) or 'recipe'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise RecipeError(problems) from error


def _on_data_set(raw: dict[str, Any]) -> dict[str, Any]:
    """The recipe with the facts of its data set, and its input at the scale that shows a whole field."""
    name = str(raw["data_set"])
    file = DATA_SETS / f"{name}.toml"
    if not file.is_file():
        there = ", ".join(sorted(found.stem for found in DATA_SETS.glob("*.toml")))
        raise RecipeError(f"no data set {name!r}: there are {there}")
    facts = tomllib.loads(file.read_text(encoding="utf-8"))
    field_um, corner = float(facts.pop("field_um")), float(facts.pop("masked_corner", 0.0))
    shape = dict(raw["input"])
    height = int(shape.get("height_px", 0)) or 1
    shape.setdefault("um_per_px", field_um / height)
    shape.setdefault("made_for_um_per_px", facts.pop("made_for_um_per_px", None))
    shape.setdefault("masked_corner_px", ceil(corner * height))
    limits = [*facts.pop("limits_of_use"), *raw.get("limits_of_use", [])]
    return {**raw, **facts, "input": shape, "limits_of_use": limits}
