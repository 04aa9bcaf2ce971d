"""`hemowire simulate`: render simulated blood-smear fields into a folder per class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_EVERY_CLASS = "every"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire simulate`."""
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        metavar="CLASS",
        help="ALL, AML, CLL, CML, healthy or every; may be repeated (default: every)",
    )
    parser.add_argument("--slides", type=int, default=5, help="slides of each class")
    parser.add_argument("--fields", type=int, default=20, help="fields of each slide")
    parser.add_argument("--seed", type=int, default=0, help="another seed shares no slide")
    parser.add_argument("--width", type=int, default=640, help="pixels")
    parser.add_argument("--height", type=int, default=480, help="pixels")
    parser.add_argument("--um-per-px", type=float, default=0.2, help="micrometres per pixel")
    parser.add_argument("--white-cells", default="5-10", help="fewest and most per field")
    parser.add_argument(
        "--background-only", action="store_true", help="the same scenes without white cells"
    )
    parser.add_argument(
        "--sources",
        default="independent",
        help="independent; tied or swapped: each class comes from a laboratory of its own, on purpose",
    )
    parser.add_argument("--no-masks", action="store_true", help="images and truth without masks")
    parser.add_argument("--jobs", type=int, default=1, help="processes that render")
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")


def run(args: argparse.Namespace) -> int:
    """Render the fields; 2 for wrong options."""
    from rich.progress import Progress

    from edge_device.simulator.cell_types import DiagnosisClass
    from edge_device.simulator.confounding import Sources
    from edge_device.simulator.dataset import MANIFEST_FILE, FieldSettings, write_data_set
    from wire_protocol.words import RESEARCH_USE_ONLY

    names = args.classes or [_EVERY_CLASS]
    known = {kind.value: kind for kind in DiagnosisClass}
    problems = [
        f"--class {name}: choose from {', '.join(known)} or {_EVERY_CLASS}"
        for name in names
        if name not in known and name != _EVERY_CLASS
    ]
    classes = list(known.values()) if _EVERY_CLASS in names else [known.get(n) for n in names]
    for option in ("slides", "fields", "width", "height", "jobs"):
        if getattr(args, option) < 1:
            problems.append(f"--{option} {getattr(args, option)}: at least 1")
    if not 0.05 <= args.um_per_px <= 2.0:
        problems.append(f"--um-per-px {args.um_per_px}: from 0.05 to 2")
    least, _, most = args.white_cells.partition("-")
    if not (least.isdigit() and most.isdigit() and int(least) <= int(most)):
        problems.append(f"--white-cells {args.white_cells}: two numbers such as 5-10")
    if args.sources not in list(Sources):
        problems.append(f"--sources {args.sources}: choose from {', '.join(Sources)}")
    if args.out.is_dir() and any(args.out.iterdir()):
        problems.append(f"--out {args.out}: the folder is not empty")
    if problems:
        for problem in problems:
            print(f"hemowire simulate: {problem}", file=sys.stderr)
        return 2

    settings = FieldSettings(
        args.width,
        args.height,
        args.um_per_px,
        (int(least), int(most)),
        args.background_only,
        Sources(args.sources),
        masks=not args.no_masks,
    )
    chosen = [kind for kind in dict.fromkeys(classes) if kind is not None]
    with Progress(transient=True) as bar:
        task = bar.add_task("fields", total=len(chosen) * args.slides * args.fields)
        count = write_data_set(
            args.out,
            chosen,
            slides=args.slides,
            fields=args.fields,
            seed=args.seed,
            settings=settings,
            jobs=args.jobs,
            done=lambda written: bar.update(task, completed=written),
        )
    print(f"{count} simulated fields in {args.out}, listed in {args.out / MANIFEST_FILE}")
    print(f"Simulated images. {RESEARCH_USE_ONLY}")
    return 0
