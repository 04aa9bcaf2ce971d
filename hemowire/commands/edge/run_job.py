"""`hemowire edge`: run a microscope agent until Ctrl-C, or until all that its camera has is recorded."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge run`."""
    parser.add_argument("--config", type=Path, required=True, metavar="edge.toml")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="a folder camera over DIR, whatever the file says",
    )
    parser.add_argument("--count", type=int, metavar="N", help="captures in all")
    parser.add_argument(
        "--exit-when-done",
        action="store_true",
        help="end when the camera is exhausted and every image is recorded",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the agent; 2 for wrong settings, camera or outbox, 3 when its client id is taken over.

    After the command `restart` a service manager starts it again (exit code 75); where there is none
    it becomes a new program by itself.
    """
    from edge_device.agent import RestartAskedError, run_edge
    from edge_device.bench.socket_file import BenchError
    from edge_device.calibration import CalibrationError
    from edge_device.cameras.shots import CameraError
    from edge_device.outbox import OutboxError
    from edge_device.settings import EdgeSettings
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    overrides: dict[str, object] = {"camera.count": args.count}
    if args.images is not None:
        overrides["camera"] = {"kind": "folder", "folder": args.images, "count": args.count}
    try:
        settings = load_settings(EdgeSettings, args.config, overrides=overrides)
    except SettingsError as error:
        print(f"hemowire edge: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    code = run_program(
        partial(run_edge, settings, exit_when_done=args.exit_when_done),
        name="hemowire edge",
        known=(OutboxError, CameraError, CalibrationError, BenchError, RestartAskedError),
    )
    if code == RestartAskedError.exit_code and "INVOCATION_ID" not in os.environ:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return code
