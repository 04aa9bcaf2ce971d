"""What a person sees of a training run: rendering, progress bars and the figures at its end."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.card import Metric
from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.dataset import MANIFEST_FILE, FieldSettings, write_data_set
from training.data import DataError, read_data_set
from training.evaluate import Evaluation
from training.make_bundle import make_bundle
from training.recipe import Simulated, TrainingRecipe, check_network
from training.split import split_by_group
from training.stages import Progress as Step
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, figure_word

SIMULATED = "simulated"


def train(
    recipe: TrainingRecipe, data: str, out: Path, *, command: str, resume: bool = False
) -> Bundle:
    """Train by the recipe with progress on the terminal, and print the card's figures."""
    check_network(recipe)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        root = Path(data)
        if data == SIMULATED:
            if recipe.data.simulated is None:
                raise DataError(f"recipe {recipe.name} has nothing to render: give --data DIR")
            root = _rendered(recipe.data.simulated, bars)
        checking = bars.add_task("checking images", total=None)
        samples = read_data_set(
            root,
            [kind.name for kind in recipe.classes],
            um_per_px=recipe.data.um_per_px,
            done=lambda count: bars.update(checking, completed=count),
        )
        bars.update(checking, total=len(samples), completed=len(samples))
        shares = recipe.split
        root = root if root.is_dir() else root.parent
        parts = split_by_group(
            samples, calibration=shares.calibration, test=shares.test, seed=shares.seed
        )
        for name, part in parts.named().items():
            groups = len({sample.group for sample in part})
            console.print(f"{name}: {len(part)} images in {groups} groups")
        bundle = make_bundle(
            recipe,
            parts,
            root,
            out,
            command=command,
            resume=resume,
            tell=_Reporter(bars, console).tell,
            say=console.print,
        )
    console.print(metrics_table(bundle.card.metrics))
    console.print(f"bundle {bundle.name} in {out}. {RESEARCH_USE_ONLY}")
    return bundle


class _Reporter:
    """Turns batches into one bar per stage and one line per epoch."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars, self._console = bars, console
        self._tasks: dict[str, TaskID] = {}

    def tell(self, step: Step) -> None:
        if step.stage not in self._tasks:
            total = step.epochs * step.batches
            self._tasks[step.stage] = self._bars.add_task(step.stage, total=total)
        words = (
            f"{step.stage} {step.epoch}/{step.epochs} {step.batch}/{step.batches} "
            f"loss {step.loss:.3f} accuracy {step.accuracy:.3f}"
        )
        done = (step.epoch - 1) * step.batches + step.batch
        self._bars.update(self._tasks[step.stage], completed=done, description=words)
        if step.batch == step.batches or (not self._console.is_terminal and step.batch % 50 == 0):
            self._console.print(words)


def _rendered(simulated: Simulated, bars: Progress) -> Path:
    """The recipe's simulated data set in the cache folder, rendered if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    name = "-".join(str(value) for value in simulated.model_dump().values())
    folder = cache / "hemowire" / "simulated" / name
    if not (folder / MANIFEST_FILE).is_file():
        classes = list(DiagnosisClass)
        total = len(classes) * simulated.slides * simulated.fields
        task = bars.add_task("rendering fields", total=total)
        write_data_set(
            folder,
            classes,
            slides=simulated.slides,
            fields=simulated.fields,
            seed=simulated.seed,
            settings=FieldSettings(simulated.width_px, simulated.height_px, simulated.um_per_px),
            jobs=len(os.sched_getaffinity(0)),
            done=lambda count: bars.update(task, completed=count),
        )
    return folder


def evaluation_tables(result: Evaluation) -> list[Table]:
    """An evaluation as tables for the terminal."""
    tables = [metrics_table(result.metrics)] if result.metrics else []
    if result.confusion is not None:
        words = [class_word(name) for name in result.classes]
        table = Table("true class", *words, title="largest probability")
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
