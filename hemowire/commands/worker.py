"""`hemowire worker`: a classifying worker; its stages are `cloud_worker.worker`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire worker`."""
    parser.add_argument("--config", type=Path, required=True, help="a TOML file (worker.toml)")
    parser.add_argument("--bundle", help="a bundle's name or folder, instead of the file's")
    parser.add_argument(
        "--engine", choices=("auto", "openvino", "torch"), help="instead of the file's"
    )


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM.

    0 after a clean stop; 2 wrong settings, model, archive or account; 3 a second client took our
    id; 1 what a restart may mend (a broken engine, a bug).
    """
    # numpy's own threads would wait for the cores that the engine is using: a product of tiny
    # matrices after each image took 9.5 ms instead of 0.2. It is read when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from functools import partial

    from cloud_worker.archive import ArchiveAwayError
    from cloud_worker.engines.engine import EngineUnavailableError
    from cloud_worker.inference import EngineBrokenError
    from cloud_worker.models.bundle import NoSuchBundleError
    from cloud_worker.models.bundle_folder import BundleRefusedError
    from cloud_worker.models.registry import UnknownArchitectureError
    from cloud_worker.service import run_worker
    from cloud_worker.settings import WorkerSettings
    from service_runtime.log import configure_logging
    from service_runtime.mqtt_types import SubscribeRefusedError
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    overrides = {"model.bundle": args.bundle, "model.engine": args.engine}
    try:
        settings = load_settings(WorkerSettings, args.config, overrides=overrides)
        settings.broker.read_password()  # before a model is loaded for nothing
    except SettingsError as error:
        print(f"hemowire worker: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    known = (
        ArchiveAwayError,
        BundleRefusedError,
        EngineBrokenError,
        EngineUnavailableError,
        NoSuchBundleError,
        SubscribeRefusedError,
        UnknownArchitectureError,
    )
    return run_program(partial(run_worker, settings), name="hemowire worker", known=known)
