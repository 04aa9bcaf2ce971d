"""`hemowire edge calibrate`: learn this device's limits and scale from a few pictures, show or undo it.

It writes `calibration.json` in the data directory at once or not at all, shows what changes and
asks nothing. Where an agent runs it is told to read the file again.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_device.calibration import Calibration, MeasuredScale
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
        "--red-cells", type=Path, metavar="DIR", help="fields of red cells, 7.2 um each, as scale"
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
        print(f"hemowire edge calibrate: {error}", file=sys.stderr)
        return 2
    wrong = _wrong_use(args)
    if wrong:
        print(f"hemowire edge calibrate: {wrong}", file=sys.stderr)
        return 2
    configure_logging("error")
    try:
        if args.undo:
            return _undo(settings, args.operator or getpass.getuser())
        before = load_calibration(settings.data_dir)
        if args.show:
            _show(settings, before, before)
            return 0
        return _calibrate(settings, before, args)
    except CalibrationError as error:
        print(f"hemowire edge calibrate: {error}", file=sys.stderr)
        return 1


def _wrong_use(args: argparse.Namespace) -> str:
    """What does not go together, in words; "" where all does."""
    if args.show or args.undo:
        return ""
    if (args.good is None) != (args.bad is None):
        return "--good and --bad go together"
    if args.micrometer is not None and args.red_cells is not None:
        return "--micrometer and --red-cells both give the scale: choose one"
    if args.division_um <= 0:
        return f"--division-um is {args.division_um:g}; it must be more than 0"
    if args.good is None and args.micrometer is None and args.red_cells is None:
        return "nothing to learn from: give --good and --bad, --micrometer or --red-cells"
    for folder in (args.good, args.bad, args.red_cells):
        if folder is not None and not folder.is_dir():
            return f"{folder} is no folder"
    if args.micrometer is not None and not args.micrometer.is_file():
        return f"{args.micrometer} is no file"
    return ""


def _calibrate(settings: EdgeSettings, before: Calibration | None, args: argparse.Namespace) -> int:
    from edge_device.calibration import save_calibration
    from edge_device.calibration.making import Material, next_calibration
    from service_runtime.boot import wall_time

    operator = args.operator or getpass.getuser()
    setting = settings.um_per_px
    after = next_calibration(
        before,
        Material(
            good={} if args.good is None else _frames(args.good),
            bad={} if args.bad is None else _frames(args.bad),
            scale=_scale(args),
            um_per_px_setting=setting if isinstance(setting, float) else None,
        ),
        settings.gate,
        operator=operator,
        made_at=wall_time(),
    )
    save_calibration(settings.data_dir, after)
    _show(settings, before, after)
    if before is not None and before.limits and not after.limits:
        print(
            "The scale is another: the limits learned at the old one are dropped. Learn them anew."
        )
    _tell_agent(settings.data_dir, operator)
    return 0


def _undo(settings: EdgeSettings, operator: str) -> int:
    from edge_device.calibration import load_calibration, undo_calibration

    before = load_calibration(settings.data_dir)
    _show(settings, before, undo_calibration(settings.data_dir))
    _tell_agent(settings.data_dir, operator)
    return 0


def _scale(args: argparse.Namespace) -> MeasuredScale | None:
    from edge_device.calibration.making import scale_of_red_cells
    from edge_device.calibration.micrometer import scale_of_micrometer

    if args.micrometer is not None:
        return scale_of_micrometer(_read(args.micrometer), args.division_um)
    if args.red_cells is not None:
        return scale_of_red_cells(list(_frames(args.red_cells).values()))
    return None


def _frames(folder: Path) -> dict[str, npt.NDArray[np.uint8]]:
    from edge_device.calibration import CalibrationError

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise CalibrationError(f"{folder} holds no pictures")
    if len(paths) > _MOST_FRAMES:
        raise CalibrationError(f"{folder} holds {len(paths)} pictures, at most {_MOST_FRAMES}")
    return {str(path.relative_to(folder)): _read(path) for path in paths}


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as the agent would open it: turned as its file says."""
    import cv2
    import numpy as np

    from edge_device.calibration import CalibrationError

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise CalibrationError(f"{path} cannot be read as a picture")
    return np.asarray(image, np.uint8)


def _show(settings: EdgeSettings, before: Calibration | None, after: Calibration | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_device.calibration import effective_gate, effective_scale

    console = Console()
    if after is None:
        console.print("No calibration: what edge.toml says holds, else the defaults.")
    else:
        console.print(
            f"Calibration {after.version}, {after.made_at}, by {after.operator}:"
            f" {after.good_frames} good and {after.bad_frames} bad frames"
        )
    table = Table()
    for column in ("", "before", "now", "worst good", "least bad", "from"):
        table.add_column(column, justify="left" if column in ("", "from") else "right")
    old, new = effective_gate(settings.gate, before), effective_gate(settings.gate, after)
    learned = {} if after is None else after.limits
    for name in old.model_dump():
        value = getattr(new, name)
        if isinstance(value, bool) or not isinstance(value, float):
            continue
        found = learned.get(name)
        fixed = name in settings.gate.model_fields_set
        origin = "edge.toml" if fixed else "default" if found is None else "calibration"
        table.add_row(
            name,
            f"{getattr(old, name):.4g}",
            f"{value:.4g}",
            "" if found is None else f"{found.worst_good:.4g}",
            "" if found is None or found.best_bad is None else f"{found.best_bad:.4g}",
            origin,
        )
    scale = None if after is None else after.scale
    origin = "" if scale is None else f"{scale.source}, {scale.count}, spread {scale.spread:.1%}"
    if settings.um_per_px is not None:
        origin = "edge.toml"
    cells = [effective_scale(settings.um_per_px, each) for each in (before, after)]
    words = [f"{each:.4f}" if isinstance(each, float) else str(each or "unknown") for each in cells]
    table.add_row("um_per_px", *words, "", "", origin)
    console.print(table)


def _tell_agent(data_dir: Path, operator: str) -> None:
    from edge_device.bench.local_client import AgentError, NoAgentError, call

    try:
        answer = call(data_dir, "calibrate", {}, operator)
    except NoAgentError:
        print("No agent runs here now; the next start uses it.")
    except AgentError as error:
        print(f"The running agent was not told ({error}): restart it to use this.")
    else:
        print("The running agent uses it." if answer.ok else f"The agent says: {answer.error}")
