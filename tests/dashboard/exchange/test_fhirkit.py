"""A report read by another author's R4 library, fhirkit, which knows every element; skipped without it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.fhir import fhir_bundle
from dashboard.exchange.fhir_documents import Enclosed
from dashboard.exchange.pdf import case_pdf
from dashboard.exchange.report_pictures import ReportMap, small_jpeg
from dashboard.exchange.transaction import as_transaction, names_of
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import CARD, answer, facts_of, file, spoil
from tests.dashboard.review.desk_for_tests import BERT, Lab
from wire_protocol.case_messages import Finding

pytestmark = pytest.mark.skipif(
    find_spec("fhirkit") is None, reason="needs the package fhirkit-rs (pip install fhirkit-rs)"
)


def errors(resource: dict[str, Any]) -> list[str]:
    return [str(one) for one in import_module("fhirkit").validate(resource)]


def whole_bundle(lab: Lab) -> dict[str, Any]:
    """With everything that can be enclosed."""
    facts = facts_of(lab)
    data = facts.pictures[0].data
    jpeg = small_jpeg(data) if data is not None else None
    assert jpeg is not None
    drawn = ReportMap(facts.pictures[0].image_id, "AML", jpeg)
    enclosed = Enclosed(drawn, case_pdf(facts, CARD, drawn))
    return fhir_bundle(facts, CARD, FhirVersion.R4B, enclosed)


def test_fhirkit_finds_no_error_in_any_state_nor_in_a_transaction(lab: Lab, config: str) -> None:
    file(lab, 1, 2)
    images = str(lab.folder / "images")
    command = ["export", "--case", "C7F3K2", "--format", "dicom", "--out", images]
    assert main([*command, "--config", config]) == 0
    draft = whole_bundle(lab)
    assert any(name.startswith("ImagingStudy") for name in names_of(draft))
    assert errors(draft) == []
    answer(lab, None)
    answer(lab, Finding.ALL, by=BERT)
    assert errors(whole_bundle(lab)) == []
    answer(lab, None, withdraw=True)
    sent_before = [f"{kind}/0" for kind in ("Observation", "DocumentReference", "ImagingStudy")]
    assert errors(as_transaction(whole_bundle(lab), FhirVersion.R4B, sent_before)) == []


def test_fhirkit_finds_what_is_wrong(lab: Lab) -> None:
    file(lab, 1)
    bundle = whole_bundle(lab)
    assert "unknown element" in errors(spoil(bundle, "Observation", colour="violet"))[0]
    assert "not a valid instant" in errors(spoil(bundle, "Provenance", recorded="yesterday"))[0]
