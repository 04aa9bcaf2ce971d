"""`hemowire broker`: Mosquitto with the shipped configuration, in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `hemowire broker`."""
    parser.add_argument("--config", type=Path, help="a TOML file (broker.toml); see broker_config/")
    parser.add_argument("--port", type=int, help="the listener's port, instead of the file's")
    parser.add_argument("--folder", type=Path, help="the broker's folder, instead of the file's")
    parser.add_argument(
        "--render",
        action="store_true",
        help="write the folder and end: for a Mosquitto that somebody else starts",
    )


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM: 0 after a clean stop, 1 if Mosquitto ended, 2 wrong settings.

    With --render it ends with 0 once the files are written, and needs no Mosquitto.
    """
    import asyncio

    from broker_config.locate import MosquittoMissingError
    from broker_config.render import render
    from broker_config.serve import BrokerProcess, BrokerStartError
    from broker_config.settings import BrokerServerSettings
    from service_runtime.settings import SettingsError, load_settings
    from service_runtime.signals import stop_on_signals

    overrides = {"listener.port": args.port, "folder": args.folder}
    try:
        settings = load_settings(BrokerServerSettings, args.config, overrides=overrides)
        rendered = render(
            settings.load_accounts(),
            settings.folder,
            settings.listener.listener(),
            root=settings.root,
            autosave_s=settings.autosave_s,
            data_folder=settings.data_folder,
        )
        if args.render:
            print(f"wrote {rendered.config_file}, its passwords and its access rules")
            return 0
        broker = BrokerProcess(rendered)
    except (SettingsError, MosquittoMissingError, OSError) as error:
        print(f"hemowire broker: {error}", file=sys.stderr)
        return 2

    async def serve() -> int:
        with stop_on_signals() as stop:
            broker.start()
            where = f"{settings.listener.bind}:{broker.port}"
            print(f"Mosquitto accepts on {where}; log in {rendered.log_file}", flush=True)
            for account in settings.accounts:
                print(f"  {account.role.value:<12} {account.username:<16} password in ", end="")
                print(settings.password_file(account), flush=True)
            while broker.poll() is None:
                try:
                    async with asyncio.timeout(0.5):
                        await stop.wait()
                except TimeoutError:
                    continue
                broker.stop()
                return 0
            print(f"Mosquitto ended; see {rendered.log_file}", file=sys.stderr)
            return 1

    try:
        return asyncio.run(serve())
    except BrokerStartError as error:
        print(f"hemowire broker: {error}", file=sys.stderr)
        return 1
