"""`hemowire watch`: a hematologist's terminal, diagnoses as they come, urgent first."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire watch`; they win over the file."""
    parser.add_argument("--config", type=Path, metavar="watch.toml")
    parser.add_argument("--host", help="of the broker")
    parser.add_argument("--port", type=int, help="of the broker")
    parser.add_argument("--username", help="account on the broker")
    parser.add_argument(
        "--password-file", type=Path, help="a file whose first line is the password"
    )
    parser.add_argument("--root", help="root of the topics (hemowire/v1)")
    parser.add_argument("--site", help="only this site")
    parser.add_argument("--name", help="of this terminal: its broker session is kept for a day")
    parser.add_argument("--count", type=int, metavar="N", help="end after N results")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--plain", action="store_true", help="one line per result (the default into a pipe)"
    )
    form.add_argument("--json", action="store_true", help="the message itself, one per line")


def run(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C or N results; 2 for wrong settings, 3 when another has this name."""
    from dashboard.settings import WatchSettings
    from dashboard.watch import Form, Watch
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(
            WatchSettings,
            args.config,
            overrides={
                "broker.host": args.host,
                "broker.port": args.port,
                "broker.username": args.username,
                "broker.password_file": args.password_file,
                "broker.root": args.root,
                "site": args.site,
                "name": args.name,
            },
        )
    except SettingsError as error:
        print(f"hemowire watch: {error}", file=sys.stderr)
        return 2
    if args.count is not None and args.count < 1:
        print("hemowire watch: --count: at least 1", file=sys.stderr)
        return 2
    if args.json:
        form = Form.JSON
    elif args.plain or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        form = Form.PLAIN
    else:
        form = Form.LIVE
    # A warning would tear the live screen, which says itself when the link is lost.
    configure_logging("error" if form is Form.LIVE else settings.log_level)

    async def main(stop: asyncio.Event) -> None:
        await Watch(settings, form, args.count).run(stop)

    return run_program(main, name="hemowire watch")
