"""`hemowire export`: a case as a report, signed reviews as a data set, or how far people and the AI agree."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dashboard.page.settings import DashboardSettings
    from dashboard.review.signed import SignedCase
    from wire_protocol.case_messages import Finding


FORMATS: Final = ("fhir", "fhir-r5", "fhir-r4b", "pdf", "dicom", "csv", "patient")
_EXAMPLES: Final = """examples (each with --config dashboard.toml):
  hemowire export --case lab.C7F3K2 --format pdf --out C7F3K2.pdf
  hemowire export --case lab.C7F3K2 --format fhir-r4b --out C7F3K2.json     fhir, fhir-r5: R5
  hemowire export --case lab.C7F3K2 --format fhir --to https://fhir.example.org/r4
  hemowire export --case lab.C7F3K2 --format dicom --out C7F3K2-dicom       a new folder
  hemowire export --case lab.C7F3K2 --format dicom --to dicom://ORTHANC@127.0.0.1:4242
  hemowire export --case lab.C7F3K2 --format csv --out C7F3K2.csv
  hemowire export --case lab.C7F3K2 --format patient --out copy.pdf         once it is signed
  hemowire export --case lab.C7F3K2 --format patient --link                 opens once, then ends
  hemowire export --sent                             what the FHIR server holds, and what waits
  hemowire export --reviews --out signed             then: hemowire train --data signed/index.csv
  hemowire export --agreement
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hemowire export`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--reviews",
        action="store_true",
        help="pictures and signed labels into --out: `hemowire train --data OUT/index.csv`",
    )
    what.add_argument(
        "--agreement",
        action="store_true",
        help="how often people and the AI say the same, with and without its answer seen",
    )
    what.add_argument(
        "--case",
        metavar="ID",
        help="one case as a report: SITE.CASE, or its case id where only one site has it",
    )
    what.add_argument(
        "--sent",
        action="store_true",
        help="what is, or is to be, at the FHIR server of --to or of the settings",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="--case: the form of the report, preliminary where nobody signed; dicom: pictures alone; "
        "patient: a copy in plain words, never before a person has signed",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="--reviews: a new folder; --case: a new file (dicom: a new folder)",
    )
    parser.add_argument(
        "--to",
        metavar="URL",
        help="--case, instead of --out: the base of a FHIR server (https://host/path), which gets "
        "the report as one transaction; or a DICOM archive (dicom://AETITLE@host:port). Sent again "
        "it replaces what is there",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="--format patient, instead of --out: a one-time link to the copy, and its code to scan",
    )
    parser.add_argument("--url", help="--link: how phones call the page (default: by the settings)")
    parser.add_argument(
        "--header-file",
        type=Path,
        metavar="FILE",
        help="--to: one line of HTTP header, such as `Authorization: Bearer ...`",
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="--to: who signed that server's certificate"
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="FINDING=NAME",
        help="--reviews: the recipe's name of a finding, as no_leukemia_pattern=Benign; given once, "
        "only findings that are given are exported (default: the five classes of synthetic5)",
    )
    parser.add_argument("--json", action="store_true", help="--agreement: for machines")
    parser.add_argument("--config", type=Path, required=True, metavar="dashboard.toml")


def run(args: argparse.Namespace) -> int:
    """Exports; 2 where it cannot be done, 1 where nothing was signed."""
    from sqlalchemy.exc import OperationalError

    from dashboard.blobs import ArchiveAway
    from dashboard.engine import StoreError
    from dashboard.exchange.fhir_checks import FhirRefusedError
    from dashboard.exchange.read_facts import NoSuchReportError
    from dashboard.page.settings import DashboardSettings
    from dashboard.review.data_set import ExportError
    from dashboard.store import StoreAway
    from hemowire.case_export import CaseExportError
    from hemowire.case_jobs import export_one, show_sent
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(DashboardSettings, args.config)
        if args.case is not None:
            return export_one(settings, args)
        if args.reviews:
            return _reviews(settings, args)
        if args.sent:
            return show_sent(settings, args.to)
        return _agreement(settings, as_json=args.json)
    except (
        SettingsError,
        StoreError,
        ExportError,
        CaseExportError,
        NoSuchReportError,
        FhirRefusedError,
        ArchiveAway,
        StoreAway,
        OSError,
    ) as error:
        print(f"hemowire export: {error}", file=sys.stderr)
        return 2
    except OperationalError as error:
        print(f"hemowire export: records database: {error.orig}; try again", file=sys.stderr)
        return 2


def _read(settings: DashboardSettings) -> list[SignedCase]:
    from sqlalchemy import inspect

    from dashboard.engine import StoreError, open_engine
    from dashboard.review.signed import read_signed

    engine = open_engine(settings.database_url, read_only=True)
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table("smear_case"):
                raise StoreError("records database: it has no cases yet; run `hemowire records`")
            return read_signed(connection)
    finally:
        engine.dispose()


def _reviews(settings: DashboardSettings, args: argparse.Namespace) -> int:
    from dashboard.accounts.roles import at_terminal
    from dashboard.audit.book import AuditBook, load_key
    from dashboard.blobs import BlobArchive
    from dashboard.engine import open_engine
    from dashboard.review.data_set import LABELS, ExportError, write_data_set
    from service_runtime.boot import wall_time

    if args.out is None:
        raise ExportError("--reviews needs --out DIR")
    labels = _labels(args.label) or LABELS
    book = AuditBook(load_key(settings.accounts.audit_key_file))
    archive = BlobArchive(settings.archive_url)
    try:
        done = write_data_set(_read(settings), archive, args.out, labels)
    finally:
        archive.close()
    engine = open_engine(settings.database_url)
    detail = {"cases": done.cases, "images": done.images}
    with engine.begin() as connection:
        who = at_terminal(getpass.getuser())
        book.write(connection, who, "export", "reviews", wall_time(), detail=detail)
    engine.dispose()
    print(f"{args.out}: {done.images} pictures of {done.cases} signed cases")
    for label, count in sorted(done.by_label.items()):
        print(f"  {label}: {count}")
    for why, count in sorted(done.left_out.items()):
        print(f"  left out, {why}: {count}")
    if not done.images:
        return 1
    print(f"hemowire train --recipe synthetic5 --data {args.out / 'index.csv'} --out BUNDLE")
    return 0


def _labels(given: list[str]) -> dict[Finding, str]:
    from dashboard.review.data_set import ExportError
    from wire_protocol.case_messages import Finding

    labels: dict[Finding, str] = {}
    for text in given:
        finding, _, name = text.partition("=")
        if finding not in set(Finding) or not name:
            raise ExportError(f"--label {text!r}: FINDING=NAME with one of {', '.join(Finding)}")
        labels[Finding(finding)] = name
    return labels


def _agreement(settings: DashboardSettings, *, as_json: bool) -> int:
    from dashboard.review.agreement import agreement
    from hemowire.agreement_table import plain_table, show_table

    tables = agreement(case.review for case in _read(settings))
    if as_json:
        print(json.dumps([plain_table(table) for table in tables], indent=2))
    else:
        for table in tables:
            show_table(table)
    return 0 if any(table.counts for table in tables) else 1
