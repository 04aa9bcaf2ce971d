"""`hemowire export`: a case as a report, signed reviews as a data set, or how far people and the AI agree."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dashboard.exchange.facts import ReportFacts
    from dashboard.page.settings import DashboardSettings
    from dashboard.review.agreement import Agreement, Share
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
    from service_runtime.settings import SettingsError, load_settings

    try:
        settings = load_settings(DashboardSettings, args.config)
        if args.case is not None:
            return _case(settings, args)
        if args.reviews:
            return _reviews(settings, args)
        if args.sent:
            return _sent(settings, args.to)
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


def _case(settings: DashboardSettings, args: argparse.Namespace) -> int:
    from hemowire.case_export import CaseExportError, export_case
    from wire_protocol.words import RESEARCH_USE_ONLY

    ways = [args.out is not None, args.to is not None, args.link]
    if args.format is None or sum(ways) != 1:
        raise CaseExportError("--case needs --format, and --out FILE or --to URL (or --link)")
    if args.link:
        return _link(settings, args)
    if args.to is not None:
        return _send(settings, args)
    facts = export_case(settings, args.case, args.format, args.out)
    print(f"{args.out}: {args.format} of case {facts.key.text}. {facts.state_words}")
    _tell_missing(facts)
    print(RESEARCH_USE_ONLY)
    return 0


def _tell_missing(facts: ReportFacts) -> None:
    for picture in facts.pictures:
        if picture.missing:
            print(f"  field {picture.image_id}: {picture.missing}")


def _link(settings: DashboardSettings, args: argparse.Namespace) -> int:
    import segno

    from hemowire.case_export import CaseExportError, make_patient_link
    from wire_protocol.words import RESEARCH_USE_ONLY

    if args.format != "patient":
        raise CaseExportError("--link is for --format patient")
    made = make_patient_link(settings, args.case)
    link = f"{(args.url or settings.page.url).rstrip('/')}/patient#{made.token}"
    print(f"a patient's link, to be opened once, until {made.ends_at}: {link}")
    segno.make(link, error="m").terminal(out=sys.stdout, compact=True)
    print(RESEARCH_USE_ONLY)
    return 0


def _send(settings: DashboardSettings, args: argparse.Namespace) -> int:
    from dashboard.exchange.codes import FhirVersion
    from hemowire.case_delivery import send_case
    from hemowire.case_export import CaseExportError, send_dicom
    from wire_protocol.words import RESEARCH_USE_ONLY

    if args.format == "dicom":
        facts, images = send_dicom(settings, args.case, args.to)
        print(f"{args.to} has {images} images of case {facts.key.text}. {facts.state_words}")
        _tell_missing(facts)
        print(RESEARCH_USE_ONLY)
        return 0
    if not args.format.startswith("fhir"):
        raise CaseExportError(f"--format {args.format}: only FHIR and DICOM go --to; use --out")
    version = None if args.format == "fhir" else FhirVersion(args.format.removeprefix("fhir-"))
    done = send_case(
        settings,
        args.case,
        args.to,
        version=version,
        header_file=args.header_file,
        ca_file=args.ca_file,
    )
    assert done.facts is not None and done.version is not None
    print(
        f"{args.to} holds case {done.facts.key.text} as FHIR {done.version.value.upper()}: "
        f"{done.created + done.updated} resources, {done.created} of them new. "
        f"{done.facts.state_words}"
    )
    print(RESEARCH_USE_ONLY)
    return 0


def _sent(settings: DashboardSettings, to: str | None) -> int:
    from rich.console import Console
    from rich.table import Table

    from hemowire.case_delivery import read_deliveries
    from hemowire.case_export import CaseExportError
    from service_runtime.boot import wall_time

    url = (to or settings.fhir.url).rstrip("/")
    if not url:
        raise CaseExportError("--sent: name a server with --to, or set url in [fhir]")
    found = read_deliveries(settings, url)
    table = Table("case", "there since", "state", "attempts", title=url)
    for one in found:
        if one.given_up:
            state = f"given up: {one.problem}"
        elif one.is_due:
            state = f"waits: {one.problem or 'to be sent'}"
        else:
            state = "there"
        table.add_row(one.key.text, one.sent_at or "-", state, str(one.attempts))
    Console().print(table)
    print(f"{len(found)} cases at {wall_time()}")
    return 0 if not any(one.given_up for one in found) else 1


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

    tables = agreement(case.review for case in _read(settings))
    if as_json:
        print(json.dumps([_plain(table) for table in tables], indent=2))
    else:
        from rich.console import Console

        console = Console()
        for table in tables:
            _show(table, console)
    return 0 if any(table.counts for table in tables) else 1


def _show(table: Agreement, console: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from wire_protocol.words import RESEARCH_USE_ONLY

    assert isinstance(console, Console)
    seen = "had seen" if table.ai_seen else "had not seen"
    if not table.counts:
        console.print(f"Readers who {seen} the AI's answer: no signed case.")
        return
    columns = sorted({ai for ai, _ in table.counts})
    grid = Table(title=f"Readers who {seen} the AI's answer (cases)")
    grid.add_column("person says \\ AI said")
    for name in columns:
        grid.add_column(name.replace("_", " "), justify="right")
    grid.add_column("same", justify="right")
    for person in sorted({person for _, person in table.counts}):
        counts = [str(table.counts.get((ai, person), 0)) for ai in columns]
        share = table.by_finding.get(person)
        grid.add_row(person.replace("_", " "), *counts, "-" if share is None else _words(share))
    console.print(grid)
    console.print(
        f"same finding {_words(table.same)}, same urgency {_words(table.same_urgency)}; "
        f"the AI could not say in {table.abstained}. {RESEARCH_USE_ONLY}"
    )


def _words(share: Share) -> str:
    if share.interval is None:
        return "0 of 0"
    low, high = share.interval
    return f"{share.agreed} of {share.total} ({low:.2f} to {high:.2f})"


def _plain(table: Agreement) -> dict[str, object]:
    def plain(share: Share) -> dict[str, object]:
        return {"agreed": share.agreed, "total": share.total, "interval_95": share.interval}

    return {
        "ai_seen": table.ai_seen,
        "counts": [
            {"ai": ai, "person": person, "cases": count}
            for (ai, person), count in sorted(table.counts.items())
        ],
        "same": plain(table.same),
        "same_urgency": plain(table.same_urgency),
        "by_finding": {name: plain(share) for name, share in table.by_finding.items()},
        "by_week": {name: plain(share) for name, share in table.by_week.items()},
        "abstained": table.abstained,
    }
