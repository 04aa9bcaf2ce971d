"""`hemowire edge calibrate`: learn this device's limits and scale from a few pictures, show or undo it.

It writes `calibration.json` in the data directory at once or not at all, shows what changes and
asks nothing. Where an agent runs it is told to read the file again. Pictures are opened one at a
time: a few dozen of 12 megapixels would fill a Raspberry Pi.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hemowire.commands.edge import calibrate_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_device.calibration import Calibration, MeasuredScale
    from edge_device.gate import Scores
    from edge_device.settings import EdgeSettings

_MOST_FRAMES = 200
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge calibrate`."""
    parser.add_argument("--config", type=Path, required=True, metavar="edge.toml")
    parser.add_argument("--good", type=Path, metavar="DIR", help="at least 3 good frames")
    parser.add_argument("--bad", type=Path, metavar="DIR", help="at least 3 frames to be refused")
    parser.add_argument("--micrometer", type=Path, metavar="IMAGE", help="a stage micrometer")
    parser.add_argument(
        "--division-um",
        type=float,
        default=10.0,
        metavar="UM",
        help="between its nearest lines (default: 10)",
    )
    parser.add_argument(
        "--red-cells", type=Path, metavar="DIR", help="sharp fields of red cells, 7.2 um each"
    )
    parser.add_argument("--operator", default=None, metavar="NAME", help="who calibrates")
    parser.add_argument("--show", action="store_true", help="show what holds, change nothing")
    parser.add_argument("--undo", action="store_true", help="take the last calibration back")


def run(args: argparse.Namespace) -> int:
    """Does it; 2 for wrong settings or use, 1 where the pictures do not allow a calibration."""
    from edge_device.calibration import CalibrationError, load_calibration
    from edge_device.settings import EdgeSettings
    from service_runtime.log import configure_logging
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(EdgeSettings, args.config)
    except SettingsError as error:
        return _fail(str(error), 2)
    if not args.show and args.operator is None:
        args.operator = getpass.getuser()
    wrong = _wrong_use(args)
    if wrong:
        return _fail(wrong, 2)
    configure_logging("error")
    try:
        if args.undo:
            return _undo(settings, args.operator)
        before = load_calibration(settings.data_dir)
        if args.show:
            calibrate_table.show(settings, before, before)
            return 0
        return _calibrate(settings, before, args)
    except CalibrationError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{settings.data_dir} cannot be written: {error.strerror}", 1)


def _fail(text: str, code: int) -> int:
    print(f"hemowire edge calibrate: {text}", file=sys.stderr)
    return code


def _wrong_use(args: argparse.Namespace) -> str:
    """What does not go together, in words; "" where all does."""
    from pydantic import ValidationError

    from edge_device.actions.arguments import Named

    given = [args.good, args.bad, args.micrometer, args.red_cells]
    if args.show + args.undo + any(path is not None for path in given) > 1:
        return "--show, --undo and learning from pictures are three things: do one at a time"
    if args.show:
        return ""
    try:
        Named(operator=args.operator)
    except ValidationError:
        return f"{args.operator!r} is no operator's name, such as lab.jane: give --operator NAME"
    if args.undo:
        return ""
    if (args.good is None) != (args.bad is None):
        return "--good and --bad go together"
    if args.micrometer is not None and args.red_cells is not None:
        return "--micrometer and --red-cells both give the scale: choose one"
    if not 0 < args.division_um <= 10_000:
        return f"--division-um is {args.division_um:g}; it must be more than 0, at most 10000"
    if all(path is None for path in given):
        return "nothing to learn from: give --good and --bad, --micrometer or --red-cells"
    for folder in (args.good, args.bad, args.red_cells):
        if folder is not None and not folder.is_dir():
            return f"{folder} is no folder"
    if args.micrometer is not None and not args.micrometer.is_file():
        return f"{args.micrometer} is no file"
    return ""


def _calibrate(settings: EdgeSettings, before: Calibration | None, args: argparse.Namespace) -> int:
    from edge_device.calibration import save_calibration
    from edge_device.calibration.making import (
        Material,
        check,
        next_calibration,
        scale_to_score_at,
    )
    from service_runtime.boot import wall_time

    scale = _scale(args)
    at = scale_to_score_at(before, scale, settings.um_per_px)
    material = Material(
        good={} if args.good is None else _scores(args.good, at),
        bad={} if args.bad is None else _scores(args.bad, at),
        scale=scale,
        um_per_px_setting=settings.um_per_px,
    )
    after = next_calibration(
        before, material, settings.gate, operator=args.operator, made_at=wall_time()
    )
    save_calibration(settings.data_dir, after)
    calibrate_table.show(settings, before, after)
    if material.good:
        calibrate_table.print_check(material, check(material, settings.gate, after))
    if before is not None and before.limits and not after.limits:
        print(
            "The scale is another: the limits learned at the old one are dropped. Learn them anew."
        )
    _tell_agent(settings.data_dir, args.operator)
    return 0


def _undo(settings: EdgeSettings, operator: str) -> int:
    from edge_device.calibration import CalibrationError, load_calibration, undo_calibration

    try:
        before = load_calibration(settings.data_dir)
    except CalibrationError:
        before = None  # a file that cannot be used is what undo is there for
    calibrate_table.show(settings, before, undo_calibration(settings.data_dir))
    _tell_agent(settings.data_dir, operator)
    return 0


def _scale(args: argparse.Namespace) -> MeasuredScale | None:
    from edge_device.calibration.making import scale_of_red_cells
    from edge_device.calibration.micrometer import scale_of_micrometer

    if args.micrometer is not None:
        return scale_of_micrometer(_read(args.micrometer), args.division_um)
    if args.red_cells is not None:
        return scale_of_red_cells(image for _, image in _frames(args.red_cells))
    return None


def _scores(folder: Path, um_per_px: float | None) -> dict[str, Scores]:
    from edge_device.gate import measure

    return {name: measure(image, um_per_px) for name, image in _frames(folder)}


def _frames(folder: Path) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Each picture below the folder with its name, opened when it is its turn."""
    from edge_device.calibration import CalibrationError

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise CalibrationError(f"{folder} holds no pictures")
    if len(paths) > _MOST_FRAMES:
        raise CalibrationError(f"{folder} holds {len(paths)} pictures, at most {_MOST_FRAMES}")
    for path in paths:
        yield str(path.relative_to(folder)), _read(path)


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as the agent would open it: turned as its file says."""
    import cv2
    import numpy as np

    from edge_device.calibration import CalibrationError

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise CalibrationError(f"{path} cannot be read as a picture")
    return np.asarray(image, np.uint8)


def _tell_agent(data_dir: Path, operator: str) -> None:
    from edge_device.bench.local_client import AgentError, NoAgentError, call

    try:
        answer = call(data_dir, "calibrate", {}, operator)
    except NoAgentError:
        print("No agent runs here now; its next start uses this.")
    except AgentError as error:
        print(f"The running agent was not told ({error}): restart it to use this.")
    else:
        print(
            "The running agent uses it from the next picture on."
            if answer.ok
            else f"The running agent says: {answer.error}. Restart it to use this."
        )
