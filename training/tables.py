"""`python -m training.tables`: trains every experiment in sequence and writes docs/models from their records.

A run whose record is there is not run again, and one that was cut short goes on from its last epoch, so
the command may be stopped at any time; the pages hold what is done. It keeps no bundle, and the images
and weights of its folder never belong into a repository.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

from training.checkpoints import CHECKPOINT_FILE, ResumeError
from training.data import DataError, manifest_of
from training.indexing import index_images, write_manifest
from training.initial_weights import WeightsError
from training.recipe import RecipeError, Regime, TrainingRecipe, load_recipe
from training.record import RUN_FILE, training_folder, write_run
from training.reduced import reduced
from training.regimes import FIFTHS
from training.rendering import SIMULATED
from training.session import train
from training.table_pages import write_pages
from training.table_rows import FULL, REDUCED

REAL_DATA = "HEMOWIRE_REAL_DATA"


@dataclass(frozen=True, slots=True)
class Run:
    """One training of the tables."""

    recipe: str
    on: str
    """A file of data_sets/."""
    regime: Regime
    segmentation: str = "authors"
    arch: str = ""
    fifth: int = 0
    weights: str = ""
    """A file to start from."""

    @property
    def name(self) -> str:
        """Its folder's name."""
        parts = [self.recipe, self.arch, self.on, self.regime, str(self.fifth or "")]
        parts.append("" if self.segmentation == "authors" else self.segmentation)
        return ".".join(part for part in parts if part)

    def made(self, *, small: bool) -> TrainingRecipe:
        """The recipe of this run."""
        recipe = load_recipe(self.recipe, self.on if self.on != self.recipe else "")
        recipe = recipe.with_regime(self.regime, self.fifth or None)
        recipe = recipe.with_architecture(self.arch or recipe.architecture)
        changes = {"segmentation": self.segmentation, "initial_weights": self.weights}
        recipe = recipe.model_copy(update={k: v for k, v in changes.items() if v})
        return reduced(recipe) if small else recipe

    def command(self, *, small: bool) -> str:
        """What repeats it alone."""
        words = ["hemowire train --recipe", self.recipe]
        words += ["--on", self.on] if self.on != self.recipe else []
        words += ["--data", SIMULATED if self.on.startswith(SIMULATED) else "DIR"]
        words += ["--arch", self.arch] if self.arch else []
        words += ["--regime", self.regime]
        words += ["--fifth", str(self.fifth)] if self.fifth else []
        words += ["--segmentation", self.segmentation] if self.segmentation != "authors" else []
        words += ["--weights", Path(self.weights).name] if self.weights else []
        words += ["--reduced"] if small else []
        return " ".join([*words, "--out BUNDLE"])


def experiments() -> list[Run]:
    """Every experiment, the ones that show most first."""
    both: tuple[Regime, ...] = ("paper", "by_group")
    every: tuple[Regime, ...] = ("paper", "by_image", "by_group", "contiguous_fifths")
    runs = [Run("pavithra-mobilenetv2", "ball4", regime) for regime in every]
    runs += [Run("karar3-acgan", "simulated3", regime) for regime in both]
    runs += [Run("karar2-acgan", "simulated2", regime) for regime in both]
    runs += [Run("bibi-resnet34", "simulated5", regime) for regime in both]
    runs += [Run("islam-fusion", "ball4", regime) for regime in both]
    runs += [
        Run("karar3-acgan", "ball4", "by_group"),
        Run("karar3-acgan-alone", "simulated3", "by_group"),
    ]
    runs += [Run("karar2-acgan-alone", "simulated2", "by_group")]
    runs += [Run("bibi-densenet121", "simulated5", regime) for regime in both]
    runs += [Run(f"karar3-{net}", "simulated3", "by_group") for net in ("resnet50", "densenet121")]
    runs += [Run(f"karar2-{net}", "simulated2", "by_group") for net in ("resnet50", "densenet121")]
    fusions = ("islam-fusion-original", "islam-fusion-segmented", "islam-fusion-mobilenet")
    runs += [Run(name, "ball4", "by_group") for name in (*fusions, "islam-fusion-resnet50")]
    runs += [Run("islam-fusion", "ball4", "by_group", segmentation="cells")]
    runs += [
        Run("bibi-resnet34", "ball4", "by_group"),
        Run("bibi-densenet121", "ball4", "by_group"),
    ]
    runs += [Run("pavithra-mobilenetv2-dense", "ball4", "by_group")]
    nets = ("densenet121", "resnet34", "resnet50", "mobilenet_v2")
    runs += [Run("ball4", "ball4", "by_group", arch=net) for net in nets]
    runs += [Run("ball4", "ball4", "contiguous_fifths", arch=net, fifth=5) for net in nets[:3]]
    runs += [Run("ball4", "ball4", "contiguous_fifths", arch=nets[3], fifth=n) for n in FIFTHS]
    runs += [Run("ball4-cells", "ball4", "by_group")]
    runs += [
        Run("karar2-vgg16", "simulated2", "by_group"),
        Run("karar3-vgg16", "simulated3", "by_group"),
    ]
    return runs


def main(words: list[str] | None = None) -> int:
    """Run what is not done yet, one after another; 1 where any run failed."""
    parser = argparse.ArgumentParser(prog="python -m training.tables", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="two cores: small and said so")
    parser.add_argument(
        "--ball4", type=Path, help=f"the four-class set; default: ${REAL_DATA}/ball4"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NETWORK=FILE",
        help="ImageNet weights where torchvision's cannot be fetched; again for another network",
    )
    parser.add_argument("--work", type=Path, default=Path(".cache/tables"), help="for the records")
    parser.add_argument("--out", type=Path, default=Path("docs/models"), help="for the pages")
    parser.add_argument(
        "--only", default="*", help="names of runs, with * and ?, in this order: A,B"
    )
    parser.add_argument(
        "--until", type=next_time, metavar="HH:MM", help="begin no run after this time of day"
    )
    parser.add_argument("--list", action="store_true", help="print the runs and their commands")
    args = parser.parse_args(words)
    files = dict(words.split("=", 1) for words in args.weights)
    runs = [_started(run, files) for run in experiments()]
    matched = [run for one in args.only.split(",") for run in runs if fnmatch(run.name, one)]
    chosen = list(dict.fromkeys(matched))
    if args.list:
        for run in chosen:
            print(run.command(small=args.reduced))  # noqa: T201  # this is what was asked for
        return 0

    def told() -> None:
        """The pages as they stand: a command that is stopped leaves what it has done."""
        listed = [(run.name, run.recipe) for run in experiments()]
        write_pages(args.out, args.work, listed, small=args.reduced)

    failed = run_all(
        chosen,
        args.work / (REDUCED if args.reduced else FULL),
        ball4_manifest(args.ball4, args.work),
        told,
        small=args.reduced,
        until=args.until,
    )
    told()
    for name, problem in failed.items():
        print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


def _started(run: Run, files: dict[str, str]) -> Run:
    network = run.arch or load_recipe(run.recipe).architecture
    return replace(run, weights=files.get(network, ""))


def run_all(
    runs: list[Run],
    work: Path,
    ball4: Path | None,
    told: Callable[[], None],
    *,
    small: bool,
    until: datetime | None = None,
) -> dict[str, str]:
    """Train each that has no record yet; what failed, and why. `told` is called after each."""
    failed: dict[str, str] = {}
    for run in runs:
        out = work / run.name
        if (training_folder(out) / RUN_FILE).is_file():
            continue
        if until is not None and datetime.now() >= until:
            break
        data = SIMULATED if run.on.startswith(SIMULATED) else str(ball4 or "")
        if not data:
            failed[run.name] = f"needs the four-class set: give --ball4 or {REAL_DATA}"
            continue
        recipe, command = run.made(small=small), run.command(small=small)
        print(command, flush=True)  # noqa: T201
        try:
            train(recipe, data, out, command=command, resume=True, record_only=True)
        except (RecipeError, DataError, ResumeError, WeightsError) as error:
            failed[run.name] = str(error)
            continue
        write_run(training_folder(out), recipe, command)
        (training_folder(out) / CHECKPOINT_FILE).unlink(missing_ok=True)  # gigabytes for VGG16
        told()
    return failed


def next_time(clock: str, now: datetime | None = None) -> datetime:
    """When the clock next shows HH:MM, tomorrow where that is past; ValueError for another form."""
    now = now or datetime.now()
    at = datetime.combine(now.date(), datetime.strptime(clock, "%H:%M").time())
    return at if at > now else at + timedelta(days=1)


def ball4_manifest(root: Path | None, work: Path) -> Path | None:
    """The four-class set's manifest, indexed once for all runs."""
    if root is None and os.environ.get(REAL_DATA):
        root = Path(os.environ[REAL_DATA]) / "ball4"
    if root is None or manifest_of(root) is None:
        return root if root is None else Path(root)
    indexed = work / "ball4.csv"
    if not indexed.is_file():
        write_manifest(index_images(root), indexed)
    return indexed


if __name__ == "__main__":
    raise SystemExit(main())
