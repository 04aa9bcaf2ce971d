"""`hemowire dashboard`: the hematologist's page, from a phone to a desk."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.page.settings import DashboardSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire dashboard`."""
    parser.add_argument("--config", type=Path, required=True, metavar="dashboard.toml")
    parser.add_argument(
        "--link",
        metavar="ACCOUNT",
        help="print a one-time link, and its code to scan, for this account when the page is open; "
        "`hemowire accounts` makes accounts",
    )


def run(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C; 2 for wrong settings."""
    from dashboard.accounts.door import AccountDoor
    from dashboard.accounts.people import AccountError
    from dashboard.accounts.roles import at_terminal
    from dashboard.accounts.store import AccountStore
    from dashboard.audit.book import load_key
    from dashboard.blobs import ArchiveAway
    from dashboard.engine import StoreError
    from dashboard.page.program import run_dashboard
    from dashboard.page.server import PageError
    from dashboard.page.settings import DashboardSettings
    from dashboard.review.desk import Desk
    from hemowire.page_models import BundleModels
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(DashboardSettings, args.config)
        configure_logging(settings.log_level)
        desk = Desk.open(
            settings.database_url,
            settings.archive_url,
            audit_key=load_key(settings.accounts.audit_key_file),
            review=settings.review,
            cases=settings.cases,
        )
        accounts = AccountStore.open(settings.database_url, settings.accounts)
    except (SettingsError, StoreError, ArchiveAway) as error:
        print(f"hemowire dashboard: {error}", file=sys.stderr)
        return 2

    def told(url: str) -> None:
        print(f"the page is at {url}", flush=True)
        if args.link:
            token = accounts.make_link(args.link, by=at_terminal(str(os.getuid())))
            print_link(f"{url}enter#{token}", settings)

    async def main(stop: asyncio.Event) -> None:
        models = BundleModels(settings.bundles)
        await run_dashboard(settings, desk, AccountDoor(accounts), models, stop, told=told)

    try:
        return run_program(
            main,
            name="hemowire dashboard",
            known=(PageError, StoreError, ArchiveAway, AccountError),
        )
    finally:
        accounts.close()
        desk.close()


def print_link(link: str, settings: DashboardSettings) -> None:
    """The link and its code; whoever sees it may use it, once."""
    import segno

    print(f"one-time link, {settings.accounts.link_s / 60:.0f} minutes: {link}", flush=True)
    segno.make(link, error="m").terminal(out=sys.stdout, compact=True)
    sys.stdout.flush()
