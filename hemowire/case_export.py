"""Writes one case as a report for `hemowire export --case`, after the audit book says so; it replaces no file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hemowire.case_house import CaseHouse, case_house

if TYPE_CHECKING:
    from dashboard.exchange.facts import ReportFacts
    from dashboard.exchange.patient_links import MadeLink
    from dashboard.page.settings import DashboardSettings


class CaseExportError(Exception):
    """The report cannot be written; the message says why."""


def export_case(settings: DashboardSettings, case: str, form: str, out: Path) -> ReportFacts:
    """What was written; raises CaseExportError, NoSuchReportError, StoreError, ArchiveAway, OSError."""
    require_free(out)
    with case_house(settings, case) as house:
        facts = house.facts()
        # Made before the book is opened: nobody waits for a network that draws a map.
        files = _files(facts, form, house, out, settings.patient.contact)
        told = {"format": form, "status": facts.status.value, "fields": facts.fields}
        house.audit("export", facts.made_at, **told)
        if form == "dicom":
            out.mkdir()
        for path, data in files.items():
            with path.open("xb") as file:
                file.write(data)
        if form == "dicom":
            note_dicom(house, [path.stem for path in files], "file", facts.made_at)
    return facts


def require_free(out: Path) -> None:
    """Raises CaseExportError where there is something already, or nowhere to put it."""
    if out.exists():
        raise CaseExportError(f"--out {out}: it exists; name a new file")
    if not out.parent.is_dir():
        raise CaseExportError(f"--out {out}: there is no folder {out.parent}")


def dicom_images(facts: ReportFacts) -> dict[str, bytes]:
    """By image id, of each picture that there is; raises CaseExportError where there is none."""
    from dashboard.exchange.dicom import NoDicomError, field_dicom

    there = [picture for picture in facts.pictures if not picture.missing]
    if not there:
        raise CaseExportError(f"case {facts.key.text}: it has no picture that can be had")
    try:
        return {one.image_id: field_dicom(facts, one) for one in there}
    except NoDicomError as error:
        raise CaseExportError(str(error)) from error


def note_dicom(house: CaseHouse, image_ids: list[str], place: str, at: str) -> None:
    """These have DICOM images from now on: the next FHIR report names them."""
    from sqlalchemy import delete, insert

    from dashboard.exchange.tables import DicomImageRow

    rows = [{"image_id": image_id, "place": place, "made_at": at} for image_id in image_ids]
    with house.engine.begin() as connection:
        connection.execute(delete(DicomImageRow).where(DicomImageRow.image_id.in_(image_ids)))
        connection.execute(insert(DicomImageRow), rows)


def _files(
    facts: ReportFacts, form: str, house: CaseHouse, out: Path, contact: str
) -> dict[Path, bytes]:
    """One file, or with DICOM a folder of one for each picture that there is."""
    if form == "dicom":
        return {out / f"{image_id}.dcm": data for image_id, data in dicom_images(facts).items()}
    from dashboard.exchange.forms import make_form
    from dashboard.exchange.patient_words import NotSignedError

    try:
        return {out: make_form(facts, house.models, form, contact=contact)}
    except NotSignedError as error:
        raise CaseExportError(str(error)) from error


def send_dicom(settings: DashboardSettings, case: str, to: str) -> tuple[ReportFacts, int]:
    """Sends the case's pictures to a DICOM archive; how many it has. Raises CaseExportError,
    NoSuchReportError, StoreError, ArchiveAway."""
    from dashboard.exchange.dicom_archive import ArchiveRefusedError, parse_archive, store

    try:
        archive = parse_archive(to)
    except ValueError as error:
        raise CaseExportError(f"--to {error}") from error
    with case_house(settings, case) as house:
        facts = house.facts()
        images = dicom_images(facts)
        told = {"format": "dicom", "to": archive.url, "status": facts.status.value}
        house.audit("export", facts.made_at, **told, images=len(images))
        try:
            store(images, archive, timeout_s=settings.fhir.timeout_s)
        except ArchiveRefusedError as error:
            there = list(images)[: error.stored]
            if there:
                note_dicom(house, there, archive.url, facts.made_at)
            raise CaseExportError(
                f"{error}. {error.stored} of {len(images)} images are there"
            ) from error
        note_dicom(house, list(images), archive.url, facts.made_at)
    return facts, len(images)


def make_patient_link(settings: DashboardSettings, case: str) -> MadeLink:
    """A one-time link to the copy of a signed result; raises CaseExportError, NoSuchReportError,
    StoreError, ArchiveAway."""
    from dashboard.exchange.patient_links import PatientLinks
    from dashboard.exchange.patient_words import NotSignedError

    with case_house(settings, case) as house:
        links = PatientLinks(settings.database_url, house.archive, house.book, settings.patient)
        try:
            return links.make(house.key, house.by)
        except NotSignedError as error:
            raise CaseExportError(str(error)) from error
        finally:
            links.close()
