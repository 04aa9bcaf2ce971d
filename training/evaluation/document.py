"""metrics.json as frozen types: every figure of an evaluation, each with its interval, its images and how it was made.

It holds no pixels and no path of the machine that made it. A newer version is refused by name. (Just over
250 lines: one file, one schema.)
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_worker.models.card import Metric
from wire_protocol.words import RESEARCH_USE_ONLY

SCHEMA = "hemowire.metrics"
VERSION = 1
FOIL = "colour"
"""The score that knows six numbers of colour only."""
EXCHANGED = "network, backgrounds exchanged"
"""The one test without cells whose reader is the network."""
HISTOGRAM_TOP = 3.0
"""Distances in thresholds up to which histograms go; the last bar holds all beyond."""

Points = tuple[tuple[float, float], ...]


class Part(BaseModel):
    """A frozen part of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(Part):
    """A figure with its 95 % interval; `value` is None where nothing was counted."""

    value: float | None
    low: float
    high: float


class ClassRow(Part):
    """One class against the rest."""

    name: str
    key: str
    meaning: str
    images: int
    precision: Share
    recall: Share
    f1: Share
    one_vs_rest_accuracy: Share
    auroc: float | None
    average_precision: float | None
    roc: Points
    """(share of the rest called so, share of the class called so)."""
    precision_recall: Points
    """(recall, precision)."""


class ReliabilityBin(Part):
    """Answers of about one confidence."""

    low: float
    high: float
    images: int
    confidence: float
    right: Share


class Calibrated(Part):
    """How far probabilities can be taken at their word, at one temperature."""

    temperature: float
    expected_calibration_error: float
    brier: float
    negative_log_likelihood: float
    bins: tuple[ReliabilityBin, ...]


class RiskCoverage(Part):
    """What abstaining buys."""

    aurc: float
    points: Points
    """(share of images answered, share of these answers that is wrong)."""
    abstention: float
    """The card's threshold on the largest probability."""
    answered: float
    risk_when_answered: float | None


class ConfoundRow(Part):
    """What can be told without looking at cells."""

    name: str
    words: str
    """What it looks at."""
    balanced_accuracy: Share | None
    """None where it is not identifiable; `words` says why."""
    chance: float | None


class MapRow(Part):
    """Where the evidence for the answers to one class's fields lies."""

    key: str
    images: int
    inside: float
    """Share of the answer's positive map mass in white cells, mean over fields."""
    of_cells: float
    """The same of a map of these places that follows the cells' area."""
    by_chance: float
    """The cells' share of the field."""


class PairedRow(Part):
    """One way of answering against another on the same images."""

    first: str
    second: str
    first_only: int
    second_only: int
    mcnemar_p: float
    difference: Share
    """Of balanced accuracies, bootstrap over groups."""


class RegimeRow(Part):
    """The same recipe under one way of splitting."""

    regime: str
    words: str
    """How the test images were kept apart."""
    system: str
    test_images: int
    test_groups: int
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    mean_rgb_balanced_accuracy: float | None
    groups_shared: int
    """Groups with images in both training and test: what a leak is made of."""
    bundle: str


class PrintedMatrix(Part):
    """A paper's own confusion matrix, true classes as rows."""

    paper: str
    system: str
    basis: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    accuracy: Share
    checks: tuple[tuple[str, str, str], ...]
    """(printed figure, computed again, verdict)."""


class EpochRow(Part):
    """One epoch of the training."""

    stage: str
    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None


class OodFigure(Part):
    """One of the five tests with one score."""

    test: Literal["a", "b", "c", "c_control", "d", "e", "e_fifth"]
    on: str
    """Which images: a foreign set, the class left out, a nuisance."""
    images: int
    value: float
    """Share rejected (a, b, c), share kept (e, e_fifth, c_control), AUROC (d)."""
    low: float
    high: float
    called_leukemic: float | None = None
    """Share of ALL these images that is kept AND suspected to be leukemia."""


class OodHistogram(Part):
    """How far one set of images lies, in thresholds."""

    on: str
    role: Literal["own", "changed", "foreign"]
    images: int
    beyond: float
    """Share beyond the threshold."""
    shares: tuple[float, ...]
    """Share of images in equal steps from 0 to three thresholds; the last holds all beyond."""


class OodScore(Part):
    """One score over all tests, at one threshold."""

    kind: str
    words: str
    is_carried: bool
    """Whether the bundle's card uses it."""
    threshold: float
    fitted_on: str
    figures: tuple[OodFigure, ...]
    histograms: tuple[OodHistogram, ...] = ()


class OodTable(Part):
    """The five tests of every score."""

    coverage: float
    left_out: Literal["refitted", "retrained"]
    """Test (d): whether only the score, or the network too, never saw the class."""
    nuisances: tuple[str, ...]
    scores: tuple[OodScore, ...]


class Facts(Part):
    """What was judged, with what, on what."""

    bundle: str
    architecture: str
    engine: str
    training_data: str
    initial_weights: str
    recipe: str
    grouped_by: str
    evaluated: str
    """What the images are, in words: name of the set and part, never a path."""
    is_synthetic: bool
    """Whether the images were rendered by the simulator."""
    images: int
    groups: int
    command: str
    hemowire: str


class Evaluation(Part):
    """metrics.json."""

    schema_name: Literal["hemowire.metrics"] = Field(default="hemowire.metrics", alias="schema")
    version: int = Field(default=VERSION, ge=1, le=VERSION)
    bundle: str
    engine: str
    training_data: str
    images: int
    facts: Facts
    metrics: tuple[Metric, ...]
    """The headline figures, flat, as a bundle's card has them."""
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    """True classes as rows, largest probability as columns, refused images in a last column;
    None for foreign images."""
    results: dict[str, int]
    """Decisions by result, `cannot_say` with its reason."""
    per_class: tuple[ClassRow, ...] = ()
    before_temperature: Calibrated | None = None
    after_temperature: Calibrated | None = None
    risk_coverage: RiskCoverage | None = None
    confounds: tuple[ConfoundRow, ...] = ()
    maps: tuple[MapRow, ...] = ()
    paired: tuple[PairedRow, ...] = ()
    training_curves: tuple[EpochRow, ...] = ()
    ood: OodTable | None = None
    regimes: tuple[RegimeRow, ...] = ()
    papers: tuple[PrintedMatrix, ...] = ()
    note: str = RESEARCH_USE_ONLY

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.confusion is not None and sum(map(sum, self.confusion)) != self.images:
            raise ValueError("the confusion matrix does not count every image once")
        return self

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"
