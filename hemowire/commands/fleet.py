"""`hemowire fleet`: hundreds of light devices in a few processes, for load on a broker and its workers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire fleet`."""
    parser.add_argument("--config", type=Path, required=True, metavar="fleet.toml")
    parser.add_argument("--devices", type=int, metavar="N", help="instead of the file's")
    parser.add_argument("--captures", type=int, metavar="N", help="of each device, in all")
    parser.add_argument("--processes", type=int, metavar="N", help="that share the devices")
    parser.add_argument("--json", action="store_true", help="the last account as JSON")
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)  # one of them


def run(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C, or until all that is captured is recorded; then prints what became of it.

    1 where images are not recorded at the end; 2 for wrong settings; else the highest code of a
    process.
    """
    from functools import partial

    from edge_device.fleet import FleetSettings, run_devices
    from edge_device.outbox import OutboxError
    from hemowire.fleet import run_processes
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    overrides: dict[str, object] = {
        "devices": args.devices,
        "captures": args.captures,
        "processes": args.processes,
    }
    try:
        settings = load_settings(FleetSettings, args.config, overrides=overrides)
    except SettingsError as error:
        print(f"hemowire fleet: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    if args.process is not None:
        one = partial(run_devices, settings, args.process)
        return run_program(one, name="hemowire fleet", known=(OutboxError,))
    return run_processes(settings, args.config, as_json=args.json)
