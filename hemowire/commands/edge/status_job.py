"""`hemowire edge status`: what the agent of this device does right now, at a terminal; it changes nothing.

Where no agent runs it says so, tells what the outbox on disk holds, and ends with 1.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from edge_device.outbox.rows import SnapshotRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire edge status`."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--config", type=Path, metavar="edge.toml", help="the agent's settings")
    place.add_argument("--data-dir", type=Path, metavar="DIR", help="the agent's data folder")
    parser.add_argument("--once", action="store_true", help="print once; so it is in a pipe")
    parser.add_argument("--json", action="store_true", help="the state as JSON, once")
    parser.add_argument("--captures", type=int, default=10, metavar="N", help="rows of the table")


def run(args: argparse.Namespace) -> int:
    """Shows it; 1 where no agent runs, 2 for wrong settings."""
    from rich.console import Console

    from edge_device.bench.local_client import AgentError, NoAgentError, read_state
    from edge_device.bench.status_screen import status_screen
    from service_runtime.settings import SettingsError

    try:
        data_dir = _data_dir(args)
    except SettingsError as error:
        print(f"hemowire edge status: {error}", file=sys.stderr)
        return 2
    console = Console()
    try:
        if args.json:
            print(read_state(data_dir).model_dump_json())
        elif args.once or not console.is_terminal:
            console.print(status_screen(read_state(data_dir), captures=args.captures))
        else:
            _follow(data_dir, console, args.captures)
    except NoAgentError as error:
        return _without_agent(data_dir, str(error), as_json=args.json, console=console)
    except AgentError as error:
        print(f"hemowire edge status: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _data_dir(args: argparse.Namespace) -> Path:
    from edge_device.settings import EdgeSettings
    from service_runtime.settings import load_settings

    if args.data_dir is not None:
        return Path(args.data_dir)
    return load_settings(EdgeSettings, args.config).data_dir


def _follow(data_dir: Path, console: Console, captures: int) -> None:
    """Redraws on each state until Ctrl-C, or until the agent goes."""
    from rich.live import Live

    from edge_device.bench.local_client import follow_state
    from edge_device.bench.status_screen import status_screen

    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        for state in follow_state(data_dir):
            live.update(status_screen(state, captures=captures), refresh=True)


def _without_agent(data_dir: Path, reason: str, *, as_json: bool, console: Console) -> int:
    from edge_device.bench.status_screen import disk_screen
    from edge_device.outbox import OutboxError
    from edge_device.outbox.reading import read_snapshot

    rows: tuple[SnapshotRow, ...] | None = None
    trouble = ""
    try:
        rows = read_snapshot(data_dir / "outbox").rows
    except (OutboxError, OSError, sqlite3.Error) as error:
        trouble = str(error)
    if as_json:
        counts = None if rows is None else Counter(row.state.value for row in rows)
        print(json.dumps({"agent": None, "reason": reason, "outbox": counts, "trouble": trouble}))
        return 1
    console.print(f"NO AGENT  {reason}", markup=False, highlight=False, soft_wrap=True)
    if rows is not None:
        console.print(disk_screen(rows))
    else:
        console.print(
            f"outbox   cannot be read: {trouble}", markup=False, highlight=False, soft_wrap=True
        )
    return 1
