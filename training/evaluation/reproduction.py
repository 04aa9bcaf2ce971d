"""A paper's experiments under the four regimes: its recipes, what was trained, all of it as one document.

Where a paper's images cannot be had, the document says so in its first line: its protocol was then run
on other images, and nothing of the paper is called reproduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field

from cloud_worker.models.bundle_folder import load_folder
from cloud_worker.models.card import ClassCard
from training.data import DataError
from training.evaluation.answers import calibrated_at, class_rows, risk_at
from training.evaluation.confounds import share_of
from training.evaluation.document import (
    Calibrated,
    ClassRow,
    EpochRow,
    Part,
    PrintedMatrix,
    RegimeRow,
    RiskCoverage,
)
from training.evaluation.training_record import read_epochs, read_record, regime_row
from training.metrics import wilson
from training.printed import Paper, check_paper, read_papers
from training.recipe import RECIPES, Regime, TrainingRecipe, load_recipe
from training.record import SHEET_FILE, training_folder
from training.reduced import reduced
from wire_protocol.words import RESEARCH_USE_ONLY

REGIMES: Final[tuple[Regime, ...]] = ("paper", "by_image", "by_group", "contiguous_fifths")
NOT_TO_BE_HAD: Final = (
    "protocol run on simulated slides and on ball4; loader tested on the documented layout"
)
OWN_DATA: Final = "protocol run on the four-class set that the paper used, as far as it is public"


@dataclass(frozen=True, slots=True)
class PaperRuns:
    """Which recipes are a paper's, and what stands in for images that cannot be had."""

    key: str
    file: str
    """Of papers/, without the suffix."""
    recipes: tuple[str, ...]
    stand_in: dict[str, str]
    """Recipe's prefix -> data set of data_sets/ that is rendered instead; empty where the paper's
    own images are public."""


PAPERS: Final = {
    runs.key: runs
    for runs in (
        PaperRuns("bibi", "bibi2020", ("bibi-resnet34", "bibi-densenet121"),
                  {"bibi": "simulated5"}),
        PaperRuns(
            "karar", "karar2022",
            ("karar2-acgan", "karar2-acgan-alone", "karar2-vgg16", "karar2-resnet50",
             "karar2-densenet121", "karar3-acgan", "karar3-acgan-alone", "karar3-vgg16",
             "karar3-resnet50", "karar3-densenet121"),
            {"karar2": "simulated2", "karar3": "simulated3"},
        ),
        PaperRuns("islam", "islam2024",
                  ("islam-fusion", "islam-fusion-original", "islam-fusion-segmented",
                   "islam-fusion-resnet50", "islam-fusion-mobilenet"), {}),
        PaperRuns("pavithra", "pavithra",
                  ("pavithra-mobilenetv2", "pavithra-mobilenetv2-dense"), {}),
    )
}  # fmt: skip


class SystemRun(Part):
    """One recipe under one regime, trained and tested."""

    recipe: str
    row: RegimeRow
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassRow, ...]
    before_temperature: Calibrated
    after_temperature: Calibrated
    risk_coverage: RiskCoverage
    training_curves: tuple[EpochRow, ...]
    reduced: bool
    compute: str
    data_set: str
    command: str


class Reproduction(Part):
    """metrics.json of `hemowire reproduce`."""

    schema_name: Literal["hemowire.reproduction"] = Field(
        default="hemowire.reproduction", alias="schema"
    )
    version: int = Field(default=1, ge=1, le=1)
    paper: str
    title: str
    caution: str
    basis: str
    """What the images are, and whether they are the paper's."""
    printed: tuple[PrintedMatrix, ...]
    shares: tuple[tuple[str, str, str, str], ...]
    """(system, printed figure, computed again, verdict) of figures without a matrix."""
    runs: tuple[SystemRun, ...]
    command: str
    hemowire: str
    note: str = RESEARCH_USE_ONLY

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"


def recipe_of(name: str, regime: Regime, *, stand_in: str, is_reduced: bool) -> TrainingRecipe:
    """The paper's recipe under this regime, on the paper's data set or on what stands in for it."""
    recipe = load_recipe(name, stand_in).with_regime(regime)
    return reduced(recipe) if is_reduced else recipe


def stand_in_of(runs: PaperRuns, recipe: str) -> str:
    """The data set that is rendered where no images are given; "" where there is none."""
    return next((on for prefix, on in runs.stand_in.items() if recipe.startswith(prefix)), "")


def shipped(name: str) -> bool:
    """Whether there is a recipe of this name."""
    return (RECIPES / f"{name}.toml").is_file()


def read_run(bundle: Path, recipe: TrainingRecipe, command: str) -> SystemRun:
    """What a finished training of this recipe measured; DataError where its record is missing."""
    record = read_record(bundle)
    one = record.answered
    card = load_folder(bundle).card if (bundle / "bundle.json").is_file() else None
    name = card.training_data.name if card else record.history["data_set"]
    colour = None
    if card is not None:
        found = [m.value for m in card.metrics if m.name == "mean_rgb_balanced_accuracy"]
        colour = found[0] if found else None
    label = f"{recipe.name}" + (" (reduced)" if recipe.reduced else "")
    row = regime_row(record, bundle=bundle.name, mean_rgb=colour)
    table = one.table()[:, : one.classes]
    abstention = card.thresholds.abstention if card else 0.5
    return SystemRun(
        recipe=recipe.name,
        row=row.model_copy(update={"system": label}),
        classes=record.classes,
        counts=tuple(tuple(map(int, line)) for line in table),
        per_class=class_rows(one, _classes(recipe, record.classes)),
        before_temperature=calibrated_at(one, 1.0),
        after_temperature=calibrated_at(one, one.temperature),
        risk_coverage=risk_at(one, abstention),
        training_curves=read_epochs(bundle),
        reduced=recipe.reduced,
        compute=record.history["compute"],
        data_set=name,
        command=command,
    )


def is_finished(bundle: Path) -> bool:
    """Whether a training has left all that a run is read from."""
    try:
        read_record(bundle)
    except DataError:
        return False
    return True


def printed_matrices(paper: Paper) -> tuple[PrintedMatrix, ...]:
    """The paper's own matrices, with each printed figure of them computed again."""
    made = []
    for matrix in paper.matrix:
        table = matrix.table()
        alone = paper.model_copy(update={"matrix": (matrix,), "share": ()})
        made.append(
            PrintedMatrix(
                paper=paper.paper,
                system=f"{matrix.system}, {len(matrix.classes)} classes",
                basis=matrix.basis,
                classes=matrix.classes,
                counts=tuple(tuple(map(int, row)) for row in table),
                accuracy=share_of(wilson(int(table.trace()), int(table.sum()))),
                checks=tuple(
                    (check.printed, check.computed, check.verdict.value)
                    for check in check_paper(alone)
                ),
            )
        )
    return tuple(made)


def printed_shares(paper: Paper) -> tuple[tuple[str, str, str, str], ...]:
    """Printed figures that have no matrix."""
    alone = paper.model_copy(update={"matrix": ()})
    return tuple(
        (check.system, check.printed, check.computed, check.verdict.value)
        for check in check_paper(alone)
    )


def paper_of(runs: PaperRuns) -> Paper:
    """The paper's data file."""
    names = {paper.paper: paper for paper in read_papers()}
    return next(
        paper for name, paper in names.items() if name.split()[0].lower().startswith(runs.key)
    )


def generated_sheets(bundles: Sequence[Path]) -> list[tuple[str, bytes]]:
    """(bundle's name, PNG) of every AC-GAN's sample sheet."""
    files = [(one.name, training_folder(one) / SHEET_FILE) for one in bundles]
    return [(name, file.read_bytes()) for name, file in files if file.is_file()]


def basis_of(runs: PaperRuns, *, has_data: bool) -> str:
    """What may be said of the images."""
    if runs.stand_in and not has_data:
        return NOT_TO_BE_HAD
    return OWN_DATA if not runs.stand_in else "protocol run on the images that were given"


def _classes(recipe: TrainingRecipe, names: Sequence[str]) -> list[ClassCard]:
    by_name = {kind.name: kind for kind in recipe.classes}
    return [by_name[name] for name in names]
