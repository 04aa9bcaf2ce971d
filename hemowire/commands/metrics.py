"""`hemowire metrics`: traces, health and counters into InfluxDB, or into files of line protocol."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire metrics`; they win over the file."""
    parser.add_argument("--config", type=Path, required=True, metavar="metrics.toml")
    parser.add_argument("--influx", metavar="URL", help="the server, instead of the file's")
    parser.add_argument("--spool-folder", type=Path, metavar="DIR", help="where points wait")


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM; 2 for wrong settings or a spool folder, 3 taken over."""
    from dashboard.metrics.program import run_metrics
    from dashboard.metrics.settings import MetricsSettings
    from dashboard.metrics.spool import SpoolError
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    overrides = {"influx.url": args.influx, "spool_folder": args.spool_folder}
    try:
        settings = load_settings(MetricsSettings, args.config, overrides=overrides)
    except SettingsError as error:
        print(f"hemowire metrics: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    return run_program(
        partial(run_metrics, settings),
        name="hemowire metrics",
        known=(SpoolError,),
    )
