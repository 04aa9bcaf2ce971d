"""`hemowire chaos`: real programs, images and faults; says whether anything was lost, doubled or altered."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_LIMITS = {
    "images": (1, 100_000),
    "faults": (1, 10_000),
    "devices": (1, 16),
    "workers": (1, 8),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire chaos`."""
    parser.add_argument("--seed", type=int, default=1, help="of images and faults (1)")
    parser.add_argument("--images", type=int, default=40, metavar="N", help="images in all (40)")
    parser.add_argument("--faults", type=int, default=8, metavar="N", help="faults in all (8)")
    parser.add_argument("--devices", type=int, default=2, metavar="K", help="microscopes (2)")
    parser.add_argument("--workers", type=int, default=2, metavar="K", help="workers (2)")
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="S", help="seconds between faults, about (2)"
    )
    parser.add_argument(
        "--longest", type=float, default=8.0, metavar="S", help="no fault lasts longer (8)"
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=240.0,
        metavar="S",
        help="after the last fault all must be recorded within (240)",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="FAULT",
        help="this kind of fault; may be repeated: kill, kill-at-step, away, restart, freeze, "
        "freeze-at-step, forget, cut, cut-up, cut-down, slow, disk-full, clock, spoil, twin, "
        "same-outbox, backup, rot, reflash, archive-away, deadly, clone (default: all)",
    )
    parser.add_argument(
        "--no-loss",
        action="store_true",
        help="no device behind a link that loses packets (root on Linux makes one of the last)",
    )
    parser.add_argument(
        "--brisk", action="store_true", help="devices with short timers: for short runs"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="new folder for this run (default: one below ~/.local/share/hemowire/chaos)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict here")
    parser.add_argument(
        "--check",
        type=Path,
        metavar="HISTORY.jsonl",
        help="run nothing: judge the history of an earlier run again",
    )


def run(args: argparse.Namespace) -> int:
    """0 only where every image was recorded once with equal bytes, or rejected for a reason."""
    problem = _problem(args)
    if problem is not None:
        print(f"hemowire chaos: {problem}", file=sys.stderr)
        return 2
    from hemowire.chaos.run import ChaosOptions, judge_again, run_chaos
    from hemowire.chaos.schedule import FaultKind, Pace

    names = {kind.name.lower().replace("_", "-"): kind for kind in FaultKind}
    for name in args.only or ():
        if name not in names:
            print(f"hemowire chaos: --only {name}: known are {', '.join(names)}", file=sys.stderr)
            return 2
    if args.check is not None:
        return judge_again(args.check, args.json)
    return run_chaos(
        ChaosOptions(
            seed=args.seed,
            images=args.images,
            faults=args.faults,
            devices=args.devices,
            workers=args.workers,
            pace=Pace(args.every, args.longest),
            kinds=tuple(names[name] for name in args.only or names),
            is_brisk=args.brisk,
            is_lossy=not args.no_loss,
            settle_s=args.settle,
            folder=args.folder,
            json_file=args.json,
        )
    )


def _problem(args: argparse.Namespace) -> str | None:
    for name, (least, most) in _LIMITS.items():
        value = getattr(args, name)
        if not least <= value <= most:
            return f"--{name} {value}: {least} to {most} allowed"
    for name in ("every", "longest", "settle"):
        value = getattr(args, name)
        if not 0 < value <= 3600:
            return f"--{name} {value:g}: above 0 and at most 3600 seconds"
    if args.json is not None and not args.json.absolute().parent.is_dir():
        return f"--json {args.json}: no such folder: {args.json.absolute().parent}"
    if args.folder is not None and args.folder.exists() and any(args.folder.iterdir()):
        return f"--folder {args.folder}: not empty; each run needs a folder of its own"
    return None
