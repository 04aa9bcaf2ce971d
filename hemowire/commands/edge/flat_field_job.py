"""`hemowire edge flat-field`: show, undo, resume or reset the learned light, or draw before and after.

Where an agent runs on the data directory, it does undo, resume and reset itself, for the state is
its own; the files are touched only where none runs.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_device.flat_field.report import Row
    from edge_device.settings import EdgeSettings

_CHANGES = ("undo", "resume", "reset")
_MOST_FRAMES = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge flat-field`."""
    parser.add_argument("--config", type=Path, required=True, metavar="edge.toml")
    parser.add_argument("step", choices=["show", *_CHANGES, "report"])
    parser.add_argument("--operator", default=None, metavar="NAME", help="who asks for a change")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report is written")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="report on these frames, each corrected by what the others teach; without it on the "
        "raw frames that this device kept, corrected by its own version in force",
    )


def run(args: argparse.Namespace) -> int:
    """Does the step; 2 for wrong settings or folders, 1 where the agent could not do it."""
    from edge_device.settings import EdgeSettings
    from service_runtime.log import configure_logging
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(EdgeSettings, args.config)
    except SettingsError as error:
        print(f"hemowire edge flat-field: {error}", file=sys.stderr)
        return 2
    configure_logging("error")
    if args.step == "show":
        return _show(settings)
    if args.step == "report":
        return _report(settings, args.images, args.out)
    return _change(settings, args.step, args.operator or getpass.getuser())


def _show(settings: EdgeSettings) -> int:
    from rich.console import Console
    from rich.table import Table

    from edge_device.flat_field import FlatFieldStore

    store = FlatFieldStore(settings.data_dir / "flat_field")
    state, versions = store.state(), store.versions()
    if not versions:
        print(
            f"nothing is learned in {store.folder}; frames stay as they are until"
            f" {settings.flat_field.min_frames} frames of one light were learned"
        )
        return 0
    newest = {v.profile: v.number for v in versions if v.number not in state.undone}
    table = Table(title="Learned light" + ("; learning is held" if state.held else ""))
    for column in ("version", "light", "camera", "frame", "frames learned", "saved", "state"):
        table.add_column(column)
    for v in versions:
        word = "undone" if v.number in state.undone else ""
        if newest.get(v.profile) == v.number:
            word = "in force"
        size = f"{v.kind.width_px}x{v.kind.height_px}"
        name = v.kind.camera or "the only one"
        table.add_row(str(v.number), str(v.profile), name, size, str(v.learned), v.saved_at, word)
    Console().print(table)
    return 0


def _change(settings: EdgeSettings, step: str, operator: str) -> int:
    from edge_device.bench.local_client import AgentError, NoAgentError, call
    from edge_device.flat_field import FlatField

    try:
        answer = call(settings.data_dir, f"flat_field_{step}", {}, operator)
    except NoAgentError:
        pass
    except AgentError as error:
        print(f"hemowire edge flat-field: {error}", file=sys.stderr)
        return 1
    else:
        if not answer.ok:
            print(f"hemowire edge flat-field: {answer.error}", file=sys.stderr)
            return 1
        shown = ", ".join(f"{name} {value}" for name, value in answer.result.items())
        print(f"the running agent did it: {step}" + (f" ({shown})" if shown else ""))
        return 0
    field = FlatField(settings.data_dir / "flat_field", settings.flat_field)
    try:
        if step == "undo":
            number = field.undo()
            force = f"version {number} is in force" if number else "frames stay as they are"
            print(f"{force}; nothing is learned until `resume` or `reset`")
        elif step == "resume":
            field.resume()
            print("learning goes on")
        else:
            field.reset()
            print("every learned light is forgotten; learning starts afresh")
    except OSError as error:
        print(f"hemowire edge flat-field: not written: {error}", file=sys.stderr)
        return 1
    return 0


def _report(settings: EdgeSettings, images: Path | None, out: Path | None) -> int:
    from edge_device.flat_field.replay import image_files
    from edge_device.flat_field.report import write_report

    if out is None:
        print("hemowire edge flat-field: report needs --out DIR", file=sys.stderr)
        return 2
    folder = settings.data_dir / "raw" if images is None else images
    paths = image_files(folder) if folder.is_dir() else []
    if not paths:
        hint = "" if images else "; with keep_raw = true the device keeps raw frames there"
        print(f"hemowire edge flat-field: no images in {folder}{hint}", file=sys.stderr)
        return 2
    left = len(paths) - _MOST_FRAMES
    if left > 0:
        print(f"the first {_MOST_FRAMES} of {len(paths)} images are taken")
    rows = _rows(settings, paths[:_MOST_FRAMES], is_own=images is None)
    how = (
        "Frames that this device kept, corrected by its own versions in force."
        if images is None
        else "Each frame is corrected by what the others teach, itself left out."
    )
    for path in write_report(rows, out, how):
        print(path)
    return 0


def _rows(settings: EdgeSettings, paths: list[Path], *, is_own: bool) -> list[Row]:
    from edge_device.flat_field import FlatField
    from edge_device.flat_field.replay import leave_out, look_at, replay_one
    from edge_device.flat_field.report import row_of

    if not is_own:
        frames = leave_out(look_at(paths), settings.flat_field)
        return [row_of(frame, frame.path.stem) for frame in frames]
    field = FlatField(settings.data_dir / "flat_field", settings.flat_field)
    return [row_of(replay_one(field, path), path.stem[:12]) for path in paths]
