"""The jobs of `hemowire export --case` and `--sent`: picks one by its arguments and says what became of it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hemowire.case_export import CaseExportError, export_case, make_patient_link, send_dicom
from wire_protocol.words import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    from dashboard.exchange.facts import ReportFacts
    from dashboard.page.settings import DashboardSettings


def export_one(settings: DashboardSettings, args: argparse.Namespace) -> int:
    """A file, a server, an archive or a link, as the arguments say; raises what they raise."""
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


def show_sent(settings: DashboardSettings, to: str | None) -> int:
    """The FHIR server's queue as a table; 1 where something was given up."""
    from rich.console import Console
    from rich.table import Table

    from hemowire.case_delivery import read_deliveries
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
