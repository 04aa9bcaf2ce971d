"""bundle.json as frozen types: everything a reader must know about a trained model.

It refuses unknown fields, a newer schema version, probability keys that clash and thresholds that
DIAGNOSIS.md forbids. A card holds facts; it loads no tensors and computes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CARD_SCHEMA = "hemowire.bundle"
CARD_VERSION = 1
FORBIDDEN_WORDS = ("healthy", "diagnosed", "positive", "negative", "100 %", "100%")
"""Never on a screen (DIAGNOSIS.md)."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Meaning(StrEnum):
    """What a class means for the decision; the decision never reads a class's name."""

    ACUTE = "acute"
    CHRONIC = "chronic"
    NO_LEUKEMIA_PATTERN = "no_leukemia_pattern"


class CardPart(BaseModel):
    """A frozen part of the card that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassCard(CardPart):
    """One output of the network, in the order of the logits."""

    name: str = Field(min_length=1)
    """Label of the training data, such as `ALL` or `Benign`."""
    key: str = Field(pattern=r"^[a-z0-9]+$", max_length=24)
    """The message's probability field is `p_<key>`."""
    meaning: Meaning
    display: str = Field(min_length=1)
    """Words for a screen; none of FORBIDDEN_WORDS."""


class Preprocessing(CardPart):
    """How pixels become the network's input; preprocess.py and tiling.py obey it."""

    height_px: int = Field(ge=28, le=4096)
    width_px: int = Field(ge=28, le=4096)
    um_per_px: float = Field(gt=0.0, le=10.0)
    """Physical size of one input pixel."""
    made_for_um_per_px: float | None = Field(
        default=None, gt=0.0, le=10.0, exclude_if=lambda value: value is None
    )
    """Scale of the images themselves, where the network sees them much smaller than they are taken;
    None: about the input's own. Left out of the card where it is None."""
    mean: tuple[float, float, float]
    """Subtracted per channel (R, G, B) after dividing by 255."""
    std: tuple[float, float, float]
    masked_corner_px: int = Field(default=0, ge=0)
    """Side of the bottom-right square of each tile that the network never sees; 0 masks nothing."""
    tile_overlap: float = Field(default=0.25, ge=0.0, le=0.75)
    """Least share of a tile's side that neighbouring tiles of a large field have in common."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.std) <= 0.0:
            raise ValueError("std must be positive in every channel")
        if self.masked_corner_px > min(self.height_px, self.width_px) // 2:
            raise ValueError("masked_corner_px is more than half of the input")
        return self


class Calibration(CardPart):
    """Logits are divided by `temperature` before the softmax."""

    temperature: float = Field(default=1.0, gt=0.0)
    ece_before: float | None = None
    ece_after: float | None = None
    fitted_on: str = ""


class Thresholds(CardPart):
    """The numbers of the decision (DIAGNOSIS.md)."""

    t_acute: float = Field(gt=0.0, le=0.5)
    """p_acute at or above it is suspected_acute: slide sensitivity >= 0.99, at most 0.5."""
    t_chronic: float = Field(gt=0.0, le=1.0)
    abstention: Fraction
    """A largest probability below it is low_confidence."""
    fitted_on: str = ""


class OutOfDistribution(CardPart):
    """How far from the training images counts as foreign; foreignness/ computes the distance.

    Tensors in weights.safetensors (C feature channels, D dims) differ by kind; those of `mahalanobis`
    with K centres: `ood.centres` K,C; `ood.basis` D,C (orthonormal rows); `ood.variances` D;
    `ood.residual_variance` 1.
    """

    kind: Literal["mahalanobis", "neighbours", "vim", "energy", "patches", "joint"] = "mahalanobis"
    dims: int = Field(ge=0)
    """Principal directions that the score uses; 0 where it uses none."""
    tensors: tuple[str, ...] = (
        "ood.centres",
        "ood.basis",
        "ood.variances",
        "ood.residual_variance",
    )
    percentiles: tuple[float, ...] = Field(min_length=101, max_length=101)
    """Distance at percentile 0, 1, ..., 100 of the calibration images, rising."""
    threshold: float = Field(gt=0.0)
    """A distance above it is out_of_distribution."""
    fitted_on: str = ""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(b < a for a, b in zip(self.percentiles, self.percentiles[1:], strict=False)):
            raise ValueError("percentiles must not fall")
        return self


class Split(CardPart):
    """One part of the data: how many images, and a digest of their sorted sha256 list."""

    images: int = Field(ge=0)
    groups: int = Field(ge=0)
    sha256: Sha256
    """sha256 of the images' sha256 values, sorted, one hex line each."""


class TrainingData(CardPart):
    """What the weights learned from."""

    kind: Literal["synthetic", "real"]
    name: str = Field(min_length=1)
    """`synthetic` or the data set's name; goes into every message as `training_data`."""
    licence: str
    credit: str
    grouped_by: str
    """What the split kept apart, and whether that is patient-disjoint."""
    splits: dict[str, Split] = Field(default_factory=dict)
    """Part name (train, validation, calibration, test) -> its size and digest."""
    notes: str = ""


class Recipe(CardPart):
    """How to make these weights again."""

    name: str
    command: str
    seeds: dict[str, int]
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    initial_weights: str
    """Where the weights started: `random`, or the file they came from."""


class Metric(CardPart):
    """A measured figure with its interval and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    images: int = Field(ge=0)
    split: str
    method: str = ""
    """How the interval was made."""


class BundleFile(CardPart):
    """Another file of the bundle."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class BundleCard(CardPart):
    """bundle.json."""

    schema_name: Literal["hemowire.bundle"] = Field(default="hemowire.bundle", alias="schema")
    version: int = Field(default=CARD_VERSION, ge=1, le=CARD_VERSION)
    architecture: str
    output_stride: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """Input pixels per pixel of the maps where that is not the architecture's own; else left out."""
    task: str = Field(pattern=r"^[a-z0-9_]+$")
    """Short name of what is told apart, such as `synthetic5` or `ball4`."""
    classes: tuple[ClassCard, ...] = Field(min_length=2)
    preprocessing: Preprocessing
    calibration: Calibration
    thresholds: Thresholds
    ood: OutOfDistribution | None = None
    training_data: TrainingData
    recipe: Recipe
    metrics: tuple[Metric, ...] = ()
    limits_of_use: tuple[str, ...] = Field(min_length=1)
    files: dict[str, BundleFile] = Field(default_factory=dict)
    """File name -> digest; filled by write_bundle."""
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """sha256 of this card without the field itself; covers the files through theirs."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [c.key for c in self.classes]
        if len(set(keys)) != len(keys):
            raise ValueError(f"class keys must differ: {keys}")
        if "acute" in keys:
            raise ValueError("p_acute is the sum over the acute classes; no class may be called so")
        for c in self.classes:
            used = [word for word in FORBIDDEN_WORDS if word in c.display.lower()]
            if used:
                raise ValueError(f"class {c.name!r} must not be shown as {c.display!r}: {used}")
        if not any(c.meaning is Meaning.NO_LEUKEMIA_PATTERN for c in self.classes):
            raise ValueError("no class means no_leukemia_pattern: the model could only ever accuse")
        return self

    @property
    def training_data_label(self) -> str:
        """What messages say under `training_data`: "synthetic", or the data set's name."""
        return "synthetic" if self.training_data.kind == "synthetic" else self.training_data.name
