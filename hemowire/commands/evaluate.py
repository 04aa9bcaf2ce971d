"""`hemowire evaluate`: judge a model bundle on labelled images, or on foreign ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire evaluate`."""
    parser.add_argument("--bundle", required=True, help="a bundle's name or folder")
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder per class, or a CSV manifest"
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
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def run(args: argparse.Namespace) -> int:
    """Evaluate; 2 where bundle, options or data are wrong."""
    from rich.console import Console
    from rich.progress import Progress

    from cloud_worker.engines.engine import EngineUnavailableError, open_engine
    from cloud_worker.models.bundle import NoSuchBundleError, load_bundle
    from cloud_worker.models.bundle_folder import BundleRefusedError
    from training.data import DataError, read_data_set
    from training.evaluate import (
        evaluate,
        evaluate_foreign,
        foreign_samples,
        recorded_scale,
        test_part,
    )
    from training.session import evaluation_tables

    console = Console()
    try:
        bundle = load_bundle(args.bundle)
        card = bundle.card
        if args.foreign:
            samples = foreign_samples(args.data, args.um_per_px)
        else:
            names = [kind.name for kind in card.classes]
            scale = args.um_per_px or recorded_scale(card)
            samples = read_data_set(args.data, names, um_per_px=scale)
            if args.part:
                samples = list(test_part(card, samples))
        engine = open_engine(bundle, args.engine)
        with Progress(console=console, transient=True) as bars:
            task = bars.add_task(f"{bundle.name}", total=len(samples))
            result = (evaluate_foreign if args.foreign else evaluate)(
                bundle, engine, samples, lambda count: bars.update(task, completed=count)
            )
    except (DataError, NoSuchBundleError, BundleRefusedError, EngineUnavailableError) as error:
        for line in str(error).splitlines():
            print(f"hemowire evaluate: {line}", file=sys.stderr)
        return 2
    for table in evaluation_tables(result):
        console.print(table)
    console.print(
        f"bundle {result.bundle} ({result.training_data}), engine {result.engine}, "
        f"{result.images} images. {result.note}"
    )
    if args.json:
        args.json.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return 0
