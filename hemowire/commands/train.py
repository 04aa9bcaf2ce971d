"""`hemowire train`: train a model bundle by a recipe, on a data set or on simulated smears.

The regime says how the images are split: the honest ones keep groups together, the papers' own do not.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

SIMULATED = "simulated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire train`."""
    parser.add_argument(
        "--recipe",
        default="synthetic5",
        help="synthetic5, ball4, a paper's (see training/recipes) or a TOML file",
    )
    parser.add_argument(
        "--data",
        default=SIMULATED,
        help="a folder per class, a public set's own layout, a CSV manifest, "
        f"or '{SIMULATED}' to render by the recipe",
    )
    parser.add_argument(
        "--on",
        metavar="DATA_SET",
        default="",
        help="facts and classes of another data set than the recipe's (see training/data_sets)",
    )
    parser.add_argument(
        "--regime",
        choices=("paper", "by_image", "by_group", "contiguous_fifths"),
        help="how images are split (default: the recipe's); by_group and contiguous_fifths are honest",
    )
    parser.add_argument("--fifth", type=int, help="of contiguous_fifths, the test part: 1 to 5")
    parser.add_argument(
        "--reduced",
        action="store_true",
        help="fewer images, epochs and pixels: a real run on two cores, said so in its card",
    )
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument(
        "--arch", help="a name that `hemowire models` lists (default: the recipe's)"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="where the weights start: a file, a bundle, 'imagenet' (by torchvision; random without "
        "a network) or 'random' (default: the recipe's)",
    )
    parser.add_argument(
        "--segmentation",
        choices=("authors", "cells"),
        help="of a fusion: the authors' colour thresholds, or white cells (trained, but not servable)",
    )
    parser.add_argument("--epochs", type=int, help="epochs of the recipe's last stage")
    parser.add_argument("--resume", action="store_true", help="go on from the last epoch")


def run(args: argparse.Namespace) -> int:
    """Train; 2 where recipe, options or data are wrong."""
    from cloud_worker.models.registry import UnknownArchitectureError, architecture
    from training.checkpoints import ResumeError
    from training.data import DataError
    from training.initial_weights import WeightsError
    from training.recipe import RecipeError, load_recipe

    try:
        recipe = load_recipe(args.recipe, args.on)
        if args.arch:
            recipe = recipe.with_architecture(architecture(args.arch).name)
        if args.weights:
            recipe = recipe.model_copy(update={"initial_weights": args.weights})
        if args.segmentation:
            recipe = recipe.model_copy(update={"segmentation": args.segmentation})
        if args.epochs is not None:
            if args.epochs < 1:
                raise RecipeError(f"--epochs {args.epochs}: at least 1")
            recipe = recipe.with_epochs(args.epochs)
        if args.fifth is not None and not 1 <= args.fifth <= 5:
            raise RecipeError(f"--fifth {args.fifth}: 1 to 5")
        recipe = recipe.with_regime(args.regime or recipe.split.regime, args.fifth)
        if args.reduced:
            from training.reduced import reduced

            recipe = reduced(recipe)
        from training.session import train

        train(recipe, args.data, args.out, command=_command(args), resume=args.resume)
    except (RecipeError, DataError, ResumeError, WeightsError, UnknownArchitectureError) as error:
        for line in str(error).splitlines():
            print(f"hemowire train: {line}", file=sys.stderr)
        return 2
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command without paths of this machine: what another one needs to repeat it."""
    words = ["hemowire", "train", "--recipe", Path(args.recipe).stem]
    words += ["--data", args.data if args.data == SIMULATED else "DIR", "--out", "BUNDLE"]
    words += ["--on", args.on] if args.on else []
    words += ["--arch", args.arch] if args.arch else []
    words += ["--regime", args.regime] if args.regime else []
    words += ["--fifth", str(args.fifth)] if args.fifth else []
    words += ["--reduced"] if args.reduced else []
    words += ["--weights", Path(args.weights).name] if args.weights else []
    words += ["--segmentation", args.segmentation] if args.segmentation else []
    words += ["--epochs", str(args.epochs)] if args.epochs else []
    return shlex.join(words)
