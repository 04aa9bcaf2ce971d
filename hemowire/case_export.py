"""Writes one case as a report for `hemowire export --case`, after the audit book says so; it replaces no file."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.exchange.facts import ReportFacts

if TYPE_CHECKING:
    from dashboard.page.settings import DashboardSettings


class CaseExportError(Exception):
    """The report cannot be written; the message says why."""


def require_cases(settings: DashboardSettings) -> None:
    """Raises StoreError where there is no records store with cases; makes none."""
    from sqlalchemy import inspect

    from dashboard.engine import StoreError, open_engine

    reader = open_engine(settings.database_url, read_only=True)
    try:
        with reader.begin() as connection:
            if not inspect(connection).has_table("smear_case"):
                raise StoreError("records database: it has no cases yet; run `hemowire records`")
    finally:
        reader.dispose()


def export_case(settings: DashboardSettings, case: str, form: str, out: Path) -> ReportFacts:
    """What was written; raises CaseExportError, NoSuchReportError, StoreError, ArchiveAway, OSError."""
    from dashboard.accounts.roles import at_terminal
    from dashboard.audit.book import AuditBook, load_key
    from dashboard.blobs import BlobArchive
    from dashboard.engine import open_engine
    from dashboard.exchange.read_facts import find_key, read_facts
    from dashboard.review.store import settle_all
    from service_runtime.boot import wall_time

    if out.exists():
        raise CaseExportError(f"--out {out}: it exists; name a new file")
    if not out.parent.is_dir():
        raise CaseExportError(f"--out {out}: there is no folder {out.parent}")
    require_cases(settings)
    reader = open_engine(settings.database_url, read_only=True)
    try:
        with reader.begin() as connection:
            key = find_key(connection, case)
    finally:
        reader.dispose()
    book = AuditBook(load_key(settings.accounts.audit_key_file))
    archive = BlobArchive(settings.archive_url)
    engine = open_engine(settings.database_url)
    try:
        with engine.begin() as connection:  # what time has signed by now is signed
            settle_all(connection, time.time_ns() // 1_000_000)
        with engine.begin() as connection:
            facts = read_facts(connection, key, archive, wall_time())
            files = _files(facts, form, settings.bundles, out)
            who = at_terminal(getpass.getuser())
            detail = {"format": form, "status": facts.status.value, "fields": facts.fields}
            book.write(connection, who, "export", key.text, facts.made_at, detail=detail)
    finally:
        engine.dispose()
        archive.close()
    if form == "dicom":
        out.mkdir()
    for path, data in files.items():
        with path.open("xb") as file:
            file.write(data)
    return facts


def _files(
    facts: ReportFacts, form: str, bundles: tuple[Path, ...], out: Path
) -> dict[Path, bytes]:
    """One file, or with DICOM a folder of one for each picture that there is."""
    if form != "dicom":
        return {out: _made(facts, form, bundles)}
    from dashboard.exchange.dicom import NoDicomError, field_dicom

    there = [picture for picture in facts.pictures if not picture.missing]
    if not there:
        raise CaseExportError(f"case {facts.key.text}: it has no picture that can be had")
    try:
        return {out / f"{one.image_id}.dcm": field_dicom(facts, one) for one in there}
    except NoDicomError as error:
        raise CaseExportError(str(error)) from error


def _made(facts: ReportFacts, form: str, bundles: tuple[Path, ...]) -> bytes:
    from dashboard.exchange.codes import FhirVersion

    if form == "csv":
        from dashboard.exchange.table import case_csv

        return case_csv(facts).encode()
    from hemowire.page_models import BundleModels

    card = BundleModels(bundles).card(facts.model)
    if form == "pdf":
        from dashboard.exchange.pdf import case_pdf

        return case_pdf(facts, card)
    from dashboard.exchange.fhir import fhir_json

    version = FhirVersion.R5 if form == "fhir" else FhirVersion(form.removeprefix("fhir-"))
    return fhir_json(facts, card, version).encode()
