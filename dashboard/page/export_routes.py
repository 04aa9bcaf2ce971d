"""A signed case as a file to take along: PDF, FHIR, CSV, DICOM, a patient's copy; each is audited."""

from __future__ import annotations

import asyncio
import io
import zipfile
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.exchange.facts import ReportFacts
from dashboard.page.answers import read_body
from dashboard.page.asking import actor_of, in_thread, key_of
from dashboard.page.bodies import Export, Form
from dashboard.page.models import Models
from dashboard.review.desk import Desk

#: Reports that are made at once: each holds a case's pictures, and may draw a map.
_AT_ONCE: Final = 2
#: Media type and how the file's name ends.
_KINDS: Final[dict[Form, tuple[str, str]]] = {
    Form.PDF: ("application/pdf", ".pdf"),
    Form.FHIR_R5: ("application/fhir+json", "-r5.json"),
    Form.FHIR_R4B: ("application/fhir+json", "-r4b.json"),
    Form.DICOM: ("application/zip", "-dicom.zip"),
    Form.CSV: ("text/csv; charset=utf-8", ".csv"),
    Form.PATIENT: ("application/pdf", "-patient.pdf"),
}


class ExportRoutes:
    """Over one desk; `models` give a report its map and its card, `contact` is told to patients."""

    def __init__(self, desk: Desk, models: Models, *, contact: str = "") -> None:
        self._desk = desk
        self._contact = contact
        self._models = models
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def routes(self) -> list[Route]:
        """What they answer to."""
        return [Route("/api/cases/{key}/export", self._export, methods=["POST"])]

    async def _export(self, request: Request) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Export)
        async with self._turn:
            facts = await in_thread(lambda: self._desk.report(key, actor, body.form.value))
            data = await in_thread(lambda: _made(facts, self._models, body.form, self._contact))
        media_type, end = _KINDS[body.form]
        name = f"{facts.key.case_id or facts.key.text[-6:]}{end}"
        return Response(
            data,
            media_type=media_type,
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )


def _made(facts: ReportFacts, models: Models, form: Form, contact: str) -> bytes:
    # Imported when the first report is asked for: pydicom alone takes half a second.
    from dashboard.exchange.dicom import NoDicomError
    from dashboard.exchange.fhir_checks import FhirRefusedError
    from dashboard.exchange.forms import make_form
    from dashboard.exchange.patient_words import NotSignedError

    try:
        if form is Form.DICOM:
            return _zipped(facts)
        return make_form(facts, models, form.value, contact=contact)
    except (NoDicomError, FhirRefusedError, NotSignedError) as error:
        raise HTTPException(409, str(error)) from error


def _zipped(facts: ReportFacts) -> bytes:
    """A DICOM file of each picture that there is."""
    from dashboard.exchange.dicom import NoDicomError, field_dicom

    there = [picture for picture in facts.pictures if not picture.missing]
    if not there:
        raise NoDicomError("this case has no picture that can be had")
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as files:
        for picture in there:
            files.writestr(f"{picture.image_id}.dcm", field_dicom(facts, picture))
    return kept.getvalue()
