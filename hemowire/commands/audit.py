"""`hemowire audit`: checks that the book of sign-ins, views, reviews and exports is whole, or prints it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.audit.chain import Head
    from dashboard.page.settings import DashboardSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire audit`."""
    parser.add_argument(
        "job",
        choices=("verify", "list"),
        help="verify: exit 1 and name the first entry that is broken or missing; list: the entries",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="dashboard.toml")
    parser.add_argument(
        "--head",
        type=Path,
        metavar="FILE",
        help="verify: the book must still hold the entry that this file names, which then gets the "
        "newest one; keep it on another machine and no older copy of the database can pass",
    )


def run(args: argparse.Namespace) -> int:
    """Checks or lists; 1 where the book is broken, 2 where it cannot be read."""
    from dashboard.engine import StoreError
    from dashboard.page.settings import DashboardSettings
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(DashboardSettings, args.config)
        return _verify(settings, args.head) if args.job == "verify" else _list(settings)
    except (SettingsError, StoreError, OSError, ValueError) as error:
        print(f"hemowire audit: {error}", file=sys.stderr)
        return 2


def _verify(settings: DashboardSettings, head_file: Path | None) -> int:
    from dashboard.audit.book import read_key, verify

    known = None if head_file is None else _known(head_file)
    key = read_key(settings.accounts.audit_key_file)
    head, finding = verify(settings.database_url, key, known)
    if finding is not None:
        print(f"BROKEN: {finding.words}")
        return 1
    number = 0 if head is None else head.number
    print(f"whole: {number} entries, each follows the one before, and the sealed end fits")
    if head is not None and head_file is not None:
        head_file.write_text(f"{head.number} {head.hash}\n", encoding="ascii")
    return 0


def _known(path: Path) -> Head | None:
    from dashboard.audit.chain import Head

    if not path.exists():
        return None
    number, digest = path.read_text(encoding="ascii").split()
    return Head(int(number), digest, "")


def _list(settings: DashboardSettings) -> int:
    from dashboard.audit.book import read_book
    from dashboard.engine import open_engine
    from dashboard.words import printable

    engine = open_engine(settings.database_url, read_only=True)
    try:
        with engine.begin() as connection:
            for line in read_book(connection):
                entry = line.entry
                words = (
                    f"{entry.number:6} {entry.at} {entry.account or '-':12} {entry.role or '-':14} "
                    f"{entry.address or '-':15} {entry.action:16} {entry.subject} {entry.detail}"
                )
                print(printable(words))
    finally:
        engine.dispose()
    return 0
