"""Contiguous fifths in one command: each fifth of a set's file order held out in turn, and all five together.

    python -m training.fifths --recipe ball4 --arch densenet121 --data DIR --work DIR [--reduced]

File order stands in for slides where a set has no patient ids: neighbours in it were often taken one
after another. Every image is judged once, by a network that saw no image of its fifth. A fifth whose
record is in the work folder is not trained again. It keeps no bundle.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_worker.models.card import Metric
from training.data import DataError
from training.evaluation.answers import together, whole_figures
from training.evaluation.training_record import read_record
from training.recipe import RecipeError
from training.regimes import FIFTHS
from training.table_rows import FULL, REDUCED, row_of
from training.tables import Run, ball4_manifest, run_all

_FIGURES = ("overall_accuracy", "balanced_accuracy", "macro_f1", "mean_rgb_balanced_accuracy")


def table(names: Sequence[str], figures: Sequence[dict[str, Metric]]) -> list[str]:
    """One row per name."""
    lines = [
        "| held out | images | accuracy | balanced accuracy | macro-F1 | mean RGB alone |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in zip(names, figures, strict=True):
        told = [own.get(one) for one in _FIGURES]
        cells = " | ".join("-" if one is None else _words(one) for one in told)
        lines.append(f"| {name} | {own['overall_accuracy'].images} | {cells} |")
    return lines


def _words(one: Metric) -> str:
    interval = "" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})"
    return f"{one.value:.3f}{interval}"


def main(words: list[str] | None = None) -> int:
    """Train what is missing and print the table; 1 where a fifth failed, 2 where an option is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m training.fifths",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--recipe", default="ball4")
    parser.add_argument("--on", default="ball4", help="the data set: a file of training/data_sets")
    parser.add_argument("--arch", default="", help="default: the recipe's")
    parser.add_argument("--weights", default="", metavar="FILE", help="where the weights start")
    parser.add_argument("--data", type=Path, required=True, help="the set's folder or manifest")
    parser.add_argument("--work", type=Path, required=True, help="for the records")
    parser.add_argument("--fifth", type=int, action="append", choices=FIFTHS, help="default: all")
    parser.add_argument("--reduced", action="store_true", help="two cores: small and said so")
    args = parser.parse_args(words)
    runs = [
        Run(args.recipe, args.on, "contiguous_fifths", "authors", args.arch, fifth, args.weights)
        for fifth in sorted(set(args.fifth or FIFTHS))
    ]
    folder = args.work / (REDUCED if args.reduced else FULL)
    try:
        data = ball4_manifest(args.data, args.work)
        failed = run_all(runs, folder, data, lambda: None, small=args.reduced)
    except (RecipeError, DataError) as error:
        sys.stderr.write(f"fifths: {error}\n")
        return 2
    done = [run for run in runs if run.name not in failed]
    rows = [row for run in done if (row := row_of(folder / run.name)) is not None]
    parts = [read_record(folder / run.name).answered for run in done]
    names = [f"fifth {run.fifth}" for run in done]
    figures = [row.figures for row in rows]
    if len(done) > 1:
        names.append(f"all {len(done)} together")
        figures.append({one.name: one for one in whole_figures(together(parts))})
    said = "Reduced: fewer images, epochs and pixels than the recipe's.\n" if args.reduced else ""
    sys.stdout.write(said + "\n".join(table(names, figures)) + "\n")
    for name, problem in failed.items():
        sys.stderr.write(f"{name}: {problem}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
