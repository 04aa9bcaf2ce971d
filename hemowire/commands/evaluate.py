"""`hemowire evaluate`: judge a model bundle on labelled images, or on foreign ones."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from cloud_worker.engines.engine import Engine
    from cloud_worker.models.bundle_folder import Bundle
    from training.data import Sample
    from training.evaluation.document import Evaluation
    from training.evaluation.examples import Example
    from training.evaluation.ood_images import ForeignSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire evaluate`."""
    parser.add_argument("--bundle", required=True, help="a bundle's name or folder")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="a folder per class, a CSV manifest, or 'simulated': render what a bundle of simulated "
        "images was made from, for --part test and --ood",
    )
    parser.add_argument("--um-per-px", type=float, help="scale where the manifest gives none")
    parser.add_argument(
        "--part",
        choices=("test",),
        help="of the data set it was trained on, the images that were kept for testing",
    )
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="images without labels that the bundle should not judge: count what it says",
    )
    parser.add_argument(
        "--ood",
        metavar="NAME=DIR[@UM_PER_PX]",
        action="append",
        default=[],
        help="images of another laboratory: run the five out-of-distribution tests with them (its "
        "cells are placed on own fields where their scale is given); --data is then the data set "
        "that the bundle was trained on; may be given again",
    )
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write metrics.json and report.html here"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write metrics.json here")


def run(args: argparse.Namespace) -> int:
    """Evaluate; 2 where bundle, options or data are wrong."""
    from rich.console import Console

    from cloud_worker.engines.engine import EngineUnavailableError
    from cloud_worker.models.bundle import NoSuchBundleError
    from cloud_worker.models.bundle_folder import BundleRefusedError
    from training.data import DataError

    console = Console()
    try:
        return _evaluate(args, console)
    except (DataError, NoSuchBundleError, BundleRefusedError, EngineUnavailableError) as error:
        for line in str(error).splitlines():
            print(f"hemowire evaluate: {line}", file=sys.stderr)
        return 2


def _evaluate(args: argparse.Namespace, console: Console) -> int:
    from rich.progress import Progress

    from cloud_worker.engines.engine import open_engine
    from cloud_worker.models.bundle import load_bundle
    from training.data import DataError
    from training.evaluate import foreign_samples
    from training.own_images import (
        own_samples,
        recorded_scale,
        refuse_training_images,
        test_part,
    )
    from training.reading import read_samples, rules_of_card
    from training.rendering import SIMULATED, rendered, simulated_of
    from training.session import evaluation_tables

    if args.foreign and (args.part or args.ood):
        raise DataError("--foreign judges images without labels: leave out --part and --ood")
    foreign = [_foreign_set(text) for text in args.ood]
    bundle = load_bundle(args.bundle)
    if str(args.data) == SIMULATED:
        if not (args.part or args.ood):
            raise DataError(
                "--data simulated renders what the bundle knows: add --part test or --ood"
            )
        with Progress(console=console, transient=True) as bars:
            args.data = rendered(simulated_of(bundle), bars)
    scale = args.um_per_px or recorded_scale(bundle.card)
    everything: list[Sample] = []
    if args.foreign:
        samples = foreign_samples(args.data, args.um_per_px)
    elif args.part or args.ood:
        everything = own_samples(bundle, args.data, um_per_px=args.um_per_px)
        samples = list(test_part(bundle, everything))
    else:
        samples, _ = read_samples(args.data, rules_of_card(bundle.card), um_per_px=scale)
        refuse_training_images(bundle, samples)
    engine = open_engine(bundle, args.engine)
    result, examples = _judged(args, bundle, engine, samples, console)
    if foreign:
        result = _with_ood(result, bundle, engine, everything, foreign)
    for table in evaluation_tables(result):
        console.print(table)
    console.print(
        f"bundle {result.bundle} ({result.training_data}), engine {result.engine}, "
        f"{result.images} images. {result.note}"
    )
    if args.json:
        args.json.write_text(result.to_json(), encoding="utf-8")
    if args.out:
        from training.evaluation.page.page import write_report

        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "metrics.json").write_text(result.to_json(), encoding="utf-8")
        write_report(result, args.out / "report.html", examples)
        console.print(f"report: {args.out / 'report.html'}")
    return 0


def _judged(
    args: argparse.Namespace,
    bundle: Bundle,
    engine: Engine,
    samples: list[Sample],
    console: Console,
) -> tuple[Evaluation, list[Example]]:
    from rich.progress import Progress

    from training.evaluate import Asked, evaluate_foreign, is_simulated, sources_of
    from training.evaluation.run import evaluate_with_examples

    part = " test part" if args.part or args.ood else ""
    known = bundle.card.training_data
    name = f"{known.kind} data, {known.name}{part}" if part else args.data.name
    synthetic = is_simulated(args.data)
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task(f"{bundle.name}", total=len(samples))

        def done(count: int) -> None:
            bars.update(task, completed=count)

        if args.foreign:
            asked = Asked(_command(args), f"images without labels, {args.data.name}", synthetic)
            return evaluate_foreign(bundle, engine, samples, done, asked), []
        asked = Asked(_command(args), name, synthetic, sources_of(args.data, samples))
        return evaluate_with_examples(
            bundle, engine, samples, done, asked, with_examples=args.out is not None
        )


def _with_ood(
    result: Evaluation,
    bundle: Bundle,
    engine: Engine,
    everything: list[Sample],
    foreign: list[ForeignSet],
) -> Evaluation:
    from rich.console import Console
    from rich.progress import Progress

    from training.evaluation.ood_run import run_ood_tests
    from training.evaluation.page.terminal import ood_tables

    console = Console()
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("out of distribution", total=None)
        found = run_ood_tests(
            bundle,
            engine,
            everything,
            foreign,
            say=lambda words: bars.update(task, description=words),
        )
    for table in ood_tables(found):
        console.print(table)
    return result.model_copy(update={"ood": found})


def _foreign_set(text: str) -> ForeignSet:
    from training.data import DataError
    from training.evaluation.ood_images import ForeignSet

    name, _, rest = text.partition("=")
    folder, _, scale = rest.rpartition("@") if "@" in rest else (rest, "", "")
    if not (name and folder and Path(folder).is_dir()):
        raise DataError(
            f"--ood {text}: give NAME=DIR or NAME=DIR@UM_PER_PX with a folder of images"
        )
    try:
        return ForeignSet(name, Path(folder), float(scale) if scale else None)
    except ValueError:
        raise DataError(f"--ood {text}: {scale!r} is no scale in um per pixel") from None


def _command(args: argparse.Namespace) -> str:
    """The command without paths of this machine: what another one needs to repeat it."""
    words = ["hemowire", "evaluate", "--bundle", Path(args.bundle).name, "--data", "DIR"]
    words += ["--um-per-px", f"{args.um_per_px:g}"] if args.um_per_px else []
    words += ["--part", args.part] if args.part else []
    words += ["--foreign"] if args.foreign else []
    for text in args.ood:
        words += ["--ood", f"{text.partition('=')[0]}=DIR"]
    return shlex.join(words)
