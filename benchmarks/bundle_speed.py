"""Bundles side by side on this machine: size on disk and images a second, measured in turns.

    python -m benchmarks.bundle_speed --bundle synthetic5-densenet121 --bundle synthetic5-resnet34

Each bundle runs alone for some seconds with every stream busy, then the next, again and again. The second
figure divides by the processor time that was used, so that other work on the machine counts less. Inference
only: a worker also decodes and looks for white cells.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud_worker.engines.engine import Engine, measure_images_per_s, open_engine
from cloud_worker.models.bundle import load_bundle
from cloud_worker.models.bundle_folder import Bundle


@dataclass(frozen=True, slots=True)
class Turn:
    """One bundle's few seconds."""

    images_per_s: float
    images_per_cpu_s: float


def take_turn(engine: Engine, bundle: Bundle, for_s: float) -> Turn:
    """Run it alone."""
    began, before = time.monotonic(), time.process_time()
    rate = measure_images_per_s(engine, bundle, for_s=for_s)
    cores = (time.process_time() - before) / (time.monotonic() - began)
    return Turn(rate, rate / cores)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row per bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundle", action="append", required=True, help="name or folder; again")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    args = parser.parse_args(arguments)
    bundles = [load_bundle(name) for name in args.bundle]
    engines = [open_engine(bundle, "openvino") for bundle in bundles]
    turns: list[list[Turn]] = [[] for _ in bundles]
    for _ in range(args.rounds):
        for taken, bundle, engine in zip(turns, bundles, engines, strict=True):
            taken.append(take_turn(engine, bundle, args.seconds))
    print(
        f"{len(os.sched_getaffinity(0))} CPU cores, median of {args.rounds} turns.\n\n"
        "| bundle | MB | field, px | engine | images/s | images per CPU second |\n"
        "|---|---|---|---|---|---|"
    )
    for taken, bundle, engine in zip(turns, bundles, engines, strict=True):
        size = sum(file.stat().st_size for file in bundle.folder.iterdir()) / 1e6
        shape = bundle.card.preprocessing
        wall, cpu = (
            float(np.median([getattr(turn, name) for turn in taken]))
            for name in ("images_per_s", "images_per_cpu_s")
        )
        print(
            f"| {bundle.name} | {size:.1f} | {shape.width_px} x {shape.height_px} | {engine.name} | "
            f"{wall:.0f} | {cpu:.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
