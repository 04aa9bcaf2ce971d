"""One case in the form that somebody asks for, with its map and its model's card; it opens no file."""

from __future__ import annotations

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.fhir import checked_bundle, fhir_json
from dashboard.exchange.fhir_documents import Enclosed
from dashboard.exchange.fhir_parts import Resource
from dashboard.exchange.patient_pdf import patient_pdf
from dashboard.exchange.patient_words import patient_copy
from dashboard.exchange.pdf import case_pdf
from dashboard.exchange.report_pictures import report_map
from dashboard.exchange.table import case_csv
from dashboard.page.models import Models


def make_form(facts: ReportFacts, models: Models, form: str, *, contact: str = "") -> bytes:
    """`pdf`, `csv`, `patient`, `fhir` (R5), `fhir-r5` or `fhir-r4b`; `contact` is the lab's for
    patients. Raises FhirRefusedError, NotSignedError."""
    if form == "csv":
        return case_csv(facts).encode()
    if form == "patient":
        return patient_pdf(patient_copy(facts, contact), facts)
    card = models.card(facts.model)
    if form == "pdf":
        return case_pdf(facts, card, report_map(facts, models))
    version = FhirVersion.R5 if form == "fhir" else FhirVersion(form.removeprefix("fhir-"))
    return fhir_json(facts, card, version, _enclosed(facts, models)).encode()


def make_bundle(facts: ReportFacts, models: Models, version: FhirVersion) -> Resource:
    """The checked bundle with all that is enclosed; raises FhirRefusedError."""
    return checked_bundle(facts, models.card(facts.model), version, _enclosed(facts, models))


def _enclosed(facts: ReportFacts, models: Models) -> Enclosed:
    drawn = report_map(facts, models)
    return Enclosed(drawn, case_pdf(facts, models.card(facts.model), drawn))
