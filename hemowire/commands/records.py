"""`hemowire records`: run the records store, prove that nothing is lost, list what it holds."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.settings import RecordsSettings

_ACTIONS = ("run", "reconcile", "list", "new-store-id", "fit-weight")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire records`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=_ACTIONS,
        default="run",
        help="run (the default); reconcile: exit 0 only where every image is accounted for; "
        "list: every image and its outcome; new-store-id: say so after restoring a backup, "
        "so that devices ask again about what they think is recorded; fit-weight: what each further "
        "field of a case should count, by the cases that people signed",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="records.toml")
    parser.add_argument("--json", action="store_true", help="reconcile and list: for machines")


def run(args: argparse.Namespace) -> int:
    """Runs one action; 2 for wrong settings, 1 where reconcile finds something, 3 taken over."""
    from dashboard.blobs import ArchiveAway
    from dashboard.engine import StoreError
    from dashboard.records import run_records
    from dashboard.settings import RecordsSettings
    from service_runtime.log import configure_logging
    from service_runtime.program import run_program
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(RecordsSettings, args.config)
        configure_logging(settings.log_level)
        match args.action:
            case "run":
                return run_program(
                    partial(run_records, settings),
                    name="hemowire records",
                    known=(StoreError, ArchiveAway),
                )
            case "reconcile":
                return _reconcile(settings, as_json=args.json)
            case "list":
                return _list(settings, as_json=args.json)
            case "fit-weight":
                return _fit_weight(settings)
            case _:
                return _new_store_id(settings)
    except (SettingsError, StoreError, ArchiveAway) as error:
        print(f"hemowire records: {error}", file=sys.stderr)
        return 2


def _reconcile(settings: RecordsSettings, *, as_json: bool) -> int:
    from rich.console import Console

    from dashboard.reconcile import reconcile
    from dashboard.reconcile_facts import gather
    from dashboard.reconcile_table import as_json as to_json
    from dashboard.reconcile_table import show
    from service_runtime.boot import wall_time

    facts = gather(
        settings.database_url, settings.archive_url, settings.silent_after_s, wall_time()
    )
    found = reconcile(facts)
    if as_json:
        print(to_json(found))
    else:
        show(found, Console())
    return 0 if found.is_clean else 1


def _list(settings: RecordsSettings, *, as_json: bool) -> int:
    from dataclasses import asdict

    from rich.console import Console

    from dashboard.outcome_lines import outcome_lines, refile_lines, set_aside_lines
    from dashboard.outcomes import read_outcomes, read_set_aside
    from dashboard.refiles import read_refiles

    rows, aside = read_outcomes(settings.database_url), read_set_aside(settings.database_url)
    moved = read_refiles(settings.database_url)
    if as_json:
        found = {
            "images": [asdict(row) for row in rows],
            "set_aside": [asdict(a) for a in aside],
            "refiles": [asdict(refile) for refile in moved],
        }
        print(json.dumps(found, indent=2))
    else:
        console = Console()
        for line in (*set_aside_lines(aside), *refile_lines(moved), *outcome_lines(rows)):
            console.print(line)
    return 0


def _new_store_id(settings: RecordsSettings) -> int:
    from dashboard.outcomes import read_store_id
    from dashboard.store import RecordsStore
    from service_runtime.boot import wall_time

    read_store_id(settings.database_url)  # refuses where there is no store yet
    store = RecordsStore(settings.database_url, wall_time())
    try:
        print(store.new_store_id(wall_time()))
    finally:
        store.close()
    return 0


def _fit_weight(settings: RecordsSettings) -> int:
    from dashboard.cases.combine import prior_of
    from dashboard.cases.weight import fit_weight
    from dashboard.engine import open_engine
    from dashboard.outcomes import read_store_id
    from dashboard.review.known_cases import known_cases
    from dashboard.review.signed import read_signed

    read_store_id(settings.database_url)  # refuses where there is no store yet
    engine = open_engine(settings.database_url, read_only=True)
    with engine.begin() as connection:
        known = known_cases(read_signed(connection))
    engine.dispose()
    try:
        if known is None:
            raise ValueError("no signed case with fields that can be summed")
        fitted = fit_weight(known.cases, prior_of(known.classes, settings.cases))
    except ValueError as error:
        print(f"hemowire records fit-weight: {error}", file=sys.stderr)
        return 1
    print(
        f"{fitted.cases} signed cases of more than one field by {known.bundle}, {known.unseen} of all "
        "signed before the AI's answer was seen\n"
        f"negative log-likelihood {fitted.nll:.4f}; fields independent (1): "
        f"{fitted.nll_independent:.4f}; plain mean: {fitted.nll_mean:.4f}\n"
        f"calibration error of the case {fitted.ece:.4f}; fields independent: "
        f"{fitted.ece_independent:.4f}\n"
        f"records.toml and dashboard.toml:\n\n[cases]\nfield_weight = {fitted.field_weight:g}"
    )
    return 0
