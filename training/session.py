"""What a person sees of a training run: rendering, progress bars and the figures at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Metric
from training.data import DataError, Sample
from training.evaluation.document import Evaluation
from training.indexing import write_manifest
from training.make_bundle import make_bundle
from training.reading import LabelRules, read_samples, some_of
from training.recipe import RecipeError, TrainingRecipe, check_network
from training.record import MANIFEST_FILE as INDEX_FILE
from training.record import training_folder
from training.regimes import HONEST, overlap, split_samples
from training.rendering import SIMULATED, rendered
from training.split import Parts
from training.stage_run import Progress as Step
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, figure_word


def train(
    recipe: TrainingRecipe,
    data: str,
    out: Path,
    *,
    command: str,
    resume: bool = False,
    record_only: bool = False,
) -> Bundle | None:
    """Train by the recipe with progress on the terminal, and print the card's figures.

    `record_only` leaves out the bundle itself: for tables, which read what lies beside it.
    """
    check_network(recipe)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        root = Path(data)
        if data == SIMULATED:
            if recipe.data.simulated is None:
                raise DataError(f"recipe {recipe.name} has nothing to render: give --data DIR")
            root = rendered(recipe.data.simulated, bars)
        checking = bars.add_task("checking images", total=None)
        names = tuple(kind.name for kind in recipe.classes)
        samples, index = read_samples(
            root,
            LabelRules(names, recipe.data.aliases, recipe.data.ignored_labels),
            um_per_px=recipe.data.um_per_px,
            done=lambda count: bars.update(checking, completed=count),
        )
        bars.update(checking, total=len(samples), completed=len(samples))
        if index is not None:
            write_manifest(index, training_folder(out) / INDEX_FILE)
        root = root if root.is_dir() else root.parent
        _check_scale(recipe, samples)
        parts = _split(recipe, samples)
        for name, part in parts.named().items():
            groups = len({sample.group for sample in part})
            console.print(f"{name}: {len(part)} images in {groups} groups")
        if recipe.split.regime not in HONEST:
            shared = overlap(parts)
            console.print(
                f"{shared.test_images_with_sibling} of {len(parts.test)} test images have a sibling "
                f"in the training part: this regime flatters"
            )
        bundle = make_bundle(
            recipe,
            parts,
            root,
            out,
            command=command,
            resume=resume,
            record_only=record_only,
            tell=_Reporter(bars, console).tell,
            say=console.print,
        )
    if bundle is None:
        why = "not asked for" if record_only else "white cells are not found where one is served"
        console.print(f"no bundle ({why}); the record is in {training_folder(out)}")
        return None
    console.print(metrics_table(bundle.card.metrics))
    console.print(f"bundle {bundle.name} in {out}. {RESEARCH_USE_ONLY}")
    return bundle


def _split(recipe: TrainingRecipe, samples: Sequence[Sample]) -> Parts:
    """The parts by the recipe's regime, each cut down to the images that the recipe takes at most."""
    most, enlarge = recipe.most_images, recipe.paper_split.enlarge
    if most is None or (recipe.split.regime == "paper" and enlarge):
        # Copies are cut down before the split: else few test images would keep their siblings.
        return split_samples(some_of(samples, most), recipe.split, enlarge)
    parts = split_samples(samples, recipe.split, enlarge)
    return Parts(**{name: tuple(some_of(part, most)) for name, part in parts.named().items()})


def _check_scale(recipe: TrainingRecipe, samples: Sequence[Sample]) -> None:
    """RecipeError where images have no scale and the recipe neither gives one nor does without."""
    if recipe.data.whole_images:
        return
    without = next((sample.path for sample in samples if sample.um_per_px is None), None)
    if without is not None:
        raise RecipeError(
            f"{without}: um per pixel unknown; give [data] um_per_px, a column um_per_px in the "
            f"manifest, or whole_images = true"
        )


class _Rate(ProgressColumn):
    """Steps per second: images, where images are what is counted."""

    def render(self, task: Task) -> Text:
        """The rate of the last minute or so."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g} images/s")


class _Reporter:
    """Turns batches into one bar per stage and one line per epoch."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars, self._console = bars, console
        self._tasks: dict[str, TaskID] = {}

    def tell(self, step: Step) -> None:
        if step.stage not in self._tasks:
            total = step.epochs * step.batches * step.images
            done = (step.epoch - 1) * step.batches * step.images
            self._tasks[step.stage] = self._bars.add_task(step.stage, total=total, completed=done)
        words = (
            f"{step.stage} {step.epoch}/{step.epochs} {step.batch}/{step.batches} "
            f"loss {step.loss:.3f} accuracy {step.accuracy:.3f}"
        )
        done = ((step.epoch - 1) * step.batches + step.batch) * step.images
        self._bars.update(self._tasks[step.stage], completed=done, description=words)
        if step.batch == step.batches or (not self._console.is_terminal and step.batch % 50 == 0):
            self._console.print(words)


def evaluation_tables(result: Evaluation) -> list[Table]:
    """An evaluation as tables for the terminal."""
    tables = [metrics_table(result.metrics)] if result.metrics else []
    if result.confusion is not None:
        words = [class_word(name) for name in result.classes]
        table = Table("true class", *words, "refused", title="largest probability")
        for name, row in zip(words, result.confusion, strict=True):
            table.add_row(name, *(str(count) for count in row))
        tables.append(table)
    said = Table("what is said", "images")
    for text, count in result.results.items():
        word, colon, reason = text.partition(":")
        said.add_row(f"{class_word(word)}{colon}{reason}", str(count))
    return [*tables, said]


def metrics_table(metrics: tuple[Metric, ...]) -> Table:
    """Figures with their intervals."""
    table = Table("figure", "value", "95 % interval", "images", "on")
    for metric in metrics:
        interval = "" if metric.low is None else f"{metric.low:.3f} to {metric.high:.3f}"
        name = figure_word(metric.name)
        row = (name, f"{metric.value:.3f}", interval, str(metric.images), metric.split)
        table.add_row(*row)
    return table
