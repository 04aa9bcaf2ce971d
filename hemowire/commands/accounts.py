"""`hemowire accounts`: who may sign in to the dashboard, and one-time links for their phones."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dashboard.accounts.store import AccountStore
    from dashboard.page.settings import DashboardSettings

_JOBS: Final = ("list", "add", "password", "remove", "link")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire accounts`."""
    parser.add_argument(
        "job",
        choices=_JOBS,
        help="list; add NAME --role R; password NAME: another one; remove NAME: its sessions end, "
        "what it signed keeps its name; link NAME: lets a phone in once, within five minutes",
    )
    parser.add_argument("name", nargs="?", help="lower case letters, digits, dots and dashes")
    parser.add_argument("--config", type=Path, required=True, metavar="dashboard.toml")
    parser.add_argument("--role", help="add: hematologist, lab_operator, engineer or administrator")
    parser.add_argument("--site", help="add: only the cases of this site (default: all sites)")
    parser.add_argument(
        "--reads-before-ai",
        action="store_true",
        help="add: what the AI says is shown after this reader has answered",
    )
    parser.add_argument("--days", type=float, help="add: the account ends by itself")
    parser.add_argument(
        "--password-file",
        type=Path,
        help="add, password: first line of this file (default: asked for; add without one on a "
        "terminal that is none makes an account for links only)",
    )
    parser.add_argument("--url", help="link: how phones call the page (default: by the settings)")


def run(args: argparse.Namespace) -> int:
    """Does it; 2 where it cannot be done."""
    from dashboard.accounts.passwords import PasswordRefusedError
    from dashboard.accounts.people import AccountError
    from dashboard.accounts.store import AccountStore
    from dashboard.engine import StoreError
    from dashboard.page.settings import DashboardSettings
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(DashboardSettings, args.config)
        if args.job != "list" and not args.name:
            raise AccountError(f"{args.job} needs NAME")
        store = AccountStore.open(settings.database_url, settings.accounts)
        try:
            _do(store, settings, args)
        finally:
            store.close()
    except (SettingsError, StoreError, AccountError, PasswordRefusedError, OSError) as error:
        print(f"hemowire accounts: {error}", file=sys.stderr)
        return 2
    return 0


def _do(store: AccountStore, settings: DashboardSettings, args: argparse.Namespace) -> None:
    from dashboard.accounts.roles import at_terminal

    who = at_terminal(getpass.getuser())
    match args.job:
        case "list":
            _list(store)
        case "add":
            _add(store, args)
        case "password":
            password = _password(args)
            if password is None:
                from dashboard.accounts.people import AccountError

                raise AccountError("password needs --password-file where there is no terminal")
            store.set_password(args.name, password, by=who)
            print(f"{args.name}: password set; its sessions have ended")
        case "remove":
            store.remove(args.name, by=who)
            print(f"{args.name}: removed; what it signed keeps its name")
        case _:
            _link(store, settings, args)


def _list(store: AccountStore) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("account", "role", "site", "signs in by", "reads before AI", "sessions", "state")
    for account in store.list():
        state = f"removed {account.removed_at}" if account.removed_at else "active"
        ways = "password or link" if account.has_password else "link only"
        table.add_row(
            account.name,
            account.role.value.replace("_", " "),
            account.site or "all",
            "-" if account.removed_at else ways,
            "yes" if account.reads_before_ai else "no",
            str(account.sessions),
            state,
        )
    Console().print(table)


def _add(store: AccountStore, args: argparse.Namespace) -> None:
    from dashboard.accounts.people import AccountError
    from dashboard.accounts.roles import Role, at_terminal

    roles = ", ".join(Role)
    if args.role not in set(Role):
        raise AccountError(f"--role {args.role!r}: one of {roles} needed")
    store.add(
        args.name,
        Role(args.role),
        by=at_terminal(getpass.getuser()),
        password=_password(args),
        site=args.site,
        reads_before_ai=args.reads_before_ai,
        days=args.days,
    )
    print(f"{args.name}: {args.role.replace('_', ' ')}")


def _password(args: argparse.Namespace) -> str | None:
    """From the file or the terminal; None where there is neither."""
    from dashboard.accounts.people import AccountError

    if args.password_file is not None:
        text: str = args.password_file.read_text(encoding="utf-8")
        return text.partition("\n")[0].strip()
    if not sys.stdin.isatty():
        return None
    first = getpass.getpass(f"Password for {args.name} (empty: links only): ")
    if not first:
        return None
    if getpass.getpass("Again: ") != first:
        raise AccountError("the two passwords differ")
    return first


def _link(store: AccountStore, settings: DashboardSettings, args: argparse.Namespace) -> None:
    import segno

    from dashboard.accounts.roles import at_terminal

    token = store.make_link(args.name, by=at_terminal(getpass.getuser()))
    # Behind the "#": no browser sends it by itself, so it stands in no log.
    url = f"{(args.url or settings.page.url).rstrip('/')}/enter#{token}"
    if sys.stdout.isatty():
        segno.make(url, micro=False).terminal(compact=True)
    minutes = store.settings.link_s / 60
    print(f"{url}\nLets {args.name} in once, within {minutes:g} minutes.")
