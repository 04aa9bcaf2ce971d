"""What the demo was asked to do, checked before anything starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

MAX_DEVICES = 64


class OptionsError(ValueError):
    """An option cannot be used; the message names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of `hemowire demo`."""

    images: Path | None
    devices: int
    count: int | None
    arch: str | None
    bundle: str | None
    engine: str
    um_per_px: float | str | None
    rate: float | str
    json_file: Path | None
    exit: bool
    folder: Path | None
    seed: int
    plain: bool
    picture: Path | None
    influx: str | None
    page: bool = True
    #: An address of this machine to show the page and the broker at; "auto": found out.
    lan: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire demo`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, metavar="DIR", help="capture from this folder")
    source.add_argument(
        "--camera", choices=["simulated"], help="simulated smears (the default without --images)"
    )
    parser.add_argument("--devices", type=int, default=1, metavar="K", help="microscopes (1)")
    parser.add_argument(
        "--count", type=int, metavar="N", help="images in all (default: no end, or each file once)"
    )
    parser.add_argument(
        "--arch", choices=["densenet121", "resnet34"], help="any bundle of this architecture"
    )
    parser.add_argument("--bundle", metavar="NAME", help="model bundle, by name or folder")
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto")
    parser.add_argument(
        "--um-per-px",
        metavar="X",
        help="scale of the folder's images in micrometres per pixel, or 'estimate' from red cells",
    )
    parser.add_argument(
        "--rate",
        default="auto",
        metavar="R",
        help="images per second in all, or 'max' (default: half of what the engine measured)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counted result here")
    parser.add_argument("--exit", action="store_true", help="end when all N images are recorded")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="new folder for this run (default: one below ~/.local/share/hemowire/demo)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated slides (1)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.svg", help="draw the last screen here"
    )
    parser.add_argument(
        "--influx",
        metavar="URL",
        help="write traces and counters to this InfluxDB 2 or VictoriaMetrics, not only to files",
    )
    parser.add_argument(
        "--lan",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="show page and broker to the network over TLS and print a code for a phone",
    )
    parser.add_argument(
        "--no-page",
        action="store_true",
        help="without the hematologist's page (also with --exit, unless --lan is given)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="plain lines instead of the live screen"
    )


def read_options(args: argparse.Namespace) -> DemoOptions:
    """The checked options; raises OptionsError naming the option and the limit."""
    if not 1 <= args.devices <= MAX_DEVICES:
        raise OptionsError(f"--devices {args.devices}: 1 to {MAX_DEVICES} allowed")
    if args.count is not None and args.count < 1:
        raise OptionsError(f"--count {args.count}: at least 1 needed")
    if args.images is not None and not args.images.is_dir():
        raise OptionsError(f"--images {args.images}: no such folder")
    if args.exit and args.count is None and args.images is None:
        raise OptionsError("--exit needs --count N or --images DIR, or it would never end")
    for name, file in (("--json", args.json), ("--picture", args.picture)):
        if file is not None and not file.absolute().parent.is_dir():
            raise OptionsError(f"{name} {file}: no such folder: {file.absolute().parent}")
    if args.folder is not None and args.folder.exists() and any(args.folder.iterdir()):
        raise OptionsError(f"--folder {args.folder}: not empty; each run needs a folder of its own")
    if args.influx is not None and not args.influx.startswith(("http://", "https://")):
        raise OptionsError(f"--influx {args.influx}: a URL that begins with http:// or https://")
    if args.lan is not None and args.no_page:
        raise OptionsError("--lan shows the page: not together with --no-page")
    return DemoOptions(
        images=args.images.resolve() if args.images else None,
        devices=args.devices,
        count=args.count,
        arch=args.arch,
        bundle=args.bundle,
        engine=args.engine,
        um_per_px=_scale(args.um_per_px),
        rate=_rate(args.rate),
        json_file=args.json,
        exit=args.exit,
        folder=args.folder,
        seed=args.seed,
        plain=args.plain,
        picture=args.picture,
        influx=args.influx,
        page=args.lan is not None or not (args.no_page or args.exit),
        lan=args.lan,
    )


def _scale(text: str | None) -> float | str | None:
    if text is None or text == "estimate":
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise OptionsError(f"--um-per-px {text}: a number above 0 and at most 100, or 'estimate'")
    return value


def _rate(text: str) -> float | str:
    if text in ("auto", "max"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise OptionsError(f"--rate {text}: images per second above 0, 'max' or 'auto'")
    return value
