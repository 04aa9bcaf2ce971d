"""`hemowire reproduce`: train a paper's systems by its protocol and by ours, and report both side by side."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from training.evaluation.reproduction import PaperRuns, Reproduction, SystemRun

Regime = Literal["paper", "by_image", "by_group", "contiguous_fifths"]
_PAPERS = ("bibi", "islam", "karar", "pavithra")
_REGIMES: Final[tuple[Regime, ...]] = (
    "paper",
    "by_image",
    "by_group",
    "contiguous_fifths",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire reproduce`."""
    parser.add_argument("paper", choices=_PAPERS, help="whose experiments")
    parser.add_argument(
        "--data",
        type=Path,
        help="the paper's images, in their own layout; without it, Bibi's and Karar's protocols run "
        "on simulated slides",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="bundles and report")
    parser.add_argument(
        "--system", action="append", metavar="RECIPE", help="only this recipe; may be given again"
    )
    parser.add_argument(
        "--regime",
        action="append",
        choices=_REGIMES,
        help="only this way of splitting; may be given again (default: all four)",
    )
    parser.add_argument(
        "--reduced",
        action="store_true",
        help="fewer images, epochs and pixels: a real run on two cores, said so beside every figure",
    )
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing: report what is in --out"
    )


def run(args: argparse.Namespace) -> int:
    """Reproduce; 2 where options, data or recipes are wrong."""
    from training.checkpoints import ResumeError
    from training.data import DataError
    from training.initial_weights import WeightsError
    from training.recipe import RecipeError

    try:
        return _reproduce(args)
    except (DataError, RecipeError, ResumeError, WeightsError) as error:
        for line in str(error).splitlines():
            print(f"hemowire reproduce: {line}", file=sys.stderr)
        return 2


def _reproduce(args: argparse.Namespace) -> int:
    from training.data import DataError
    from training.evaluation.page.reproduction_page import write_reproduction
    from training.evaluation.reproduction import (
        PAPERS,
        generated_sheets,
        is_finished,
        read_run,
        recipe_of,
        stand_in_of,
    )
    from training.rendering import SIMULATED
    from training.session import train

    runs = PAPERS[args.paper]
    recipes = _chosen(args, runs)
    if args.data is None and not runs.stand_in and not args.report_only:
        raise DataError(f"{args.paper}: give --data DIR, the four-class set that the paper used")
    found: list[SystemRun] = []
    bundles: list[Path] = []
    for name in recipes:
        stand_in = "" if args.data else stand_in_of(runs, name)
        regimes: Sequence[Regime] = args.regime or _REGIMES
        for regime in regimes:
            recipe = recipe_of(name, regime, stand_in=stand_in, is_reduced=args.reduced)
            bundle = args.out / f"{name}-{regime}"
            command = _training_command(args, name, regime, stand_in)
            if not is_finished(bundle):
                if args.report_only:
                    continue
                print(f"== {name}, {regime}")
                train(recipe, str(args.data or SIMULATED), bundle, command=command, resume=True)
            found.append(read_run(bundle, recipe, command))
            bundles.append(bundle)
    if not found:
        raise DataError(f"{args.out}: nothing is trained there")
    result = _document(args, runs, found)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "metrics.json").write_text(result.to_json(), encoding="utf-8")
    write_reproduction(result, args.out / "report.html", generated_sheets(bundles))
    _say(result)
    print(f"report: {args.out / 'report.html'}. {result.note}")
    return 0


def _chosen(args: argparse.Namespace, runs: PaperRuns) -> list[str]:
    from training.evaluation.reproduction import shipped
    from training.recipe import RecipeError

    there = [name for name in runs.recipes if shipped(name)]
    for name in args.system or []:
        if name not in there:
            raise RecipeError(f"--system {name}: {args.paper} has {', '.join(there)}")
    return list(args.system or there)


def _document(args: argparse.Namespace, runs: PaperRuns, found: list[SystemRun]) -> Reproduction:
    from importlib.metadata import version

    from training.evaluation.reproduction import (
        Reproduction,
        basis_of,
        paper_of,
        printed_matrices,
        printed_shares,
    )

    paper = paper_of(runs)
    return Reproduction(
        paper=paper.paper,
        title=paper.title,
        caution=paper.caution,
        basis=basis_of(runs, has_data=args.data is not None),
        printed=printed_matrices(paper),
        shares=printed_shares(paper),
        runs=tuple(found),
        command=_command(args),
        hemowire=version("hemowire"),
    )


def _say(result: Reproduction) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("system", "split", "test images", "balanced accuracy", "mean RGB alone")
    for one in result.runs:
        row = one.row
        value = row.balanced_accuracy
        words = f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})" if value.value else ""
        colour = row.mean_rgb_balanced_accuracy
        alone = "" if colour is None else f"{colour:.3f}"
        table.add_row(row.system, row.words, str(row.test_images), words, alone)
    Console().print(table)


def _command(args: argparse.Namespace) -> str:
    """The command without paths of this machine: what another one needs to repeat it."""
    words = ["hemowire", "reproduce", args.paper, "--out", "DIR"]
    words += ["--data", "DIR"] if args.data else []
    for flag, values in (("--system", args.system), ("--regime", args.regime)):
        for value in values or []:
            words += [flag, value]
    return shlex.join(words + (["--reduced"] if args.reduced else []))


def _training_command(args: argparse.Namespace, name: str, regime: str, stand_in: str) -> str:
    words = ["hemowire", "train", "--recipe", name, "--data", "DIR" if args.data else "simulated"]
    words += ["--on", stand_in] if stand_in else []
    words += ["--regime", regime, "--out", "BUNDLE"]
    return shlex.join(words + (["--reduced"] if args.reduced else []))
