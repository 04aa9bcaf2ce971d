"""A report read by another author's R4 library, fhirkit, which knows every element; skipped without it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.transaction import as_transaction, names_of
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import answer, facts_of, file, spoil, whole_bundle
from tests.dashboard.review.desk_for_tests import BERT, Lab
from wire_protocol.case_messages import Finding

pytestmark = pytest.mark.skipif(
    find_spec("fhirkit") is None, reason="needs the package fhirkit-rs (pip install fhirkit-rs)"
)


def errors(resource: dict[str, Any]) -> list[str]:
    return [str(one) for one in import_module("fhirkit").validate(resource)]


def test_fhirkit_finds_no_error_in_any_state_nor_in_a_transaction(lab: Lab, config: str) -> None:
    file(lab, 1, 2)
    images = str(lab.folder / "images")
    command = ["export", "--case", "C7F3K2", "--format", "dicom", "--out", images]
    assert main([*command, "--config", config]) == 0
    draft = whole_bundle(facts_of(lab), FhirVersion.R4B)
    assert any(name.startswith("ImagingStudy") for name in names_of(draft))
    assert errors(draft) == []
    answer(lab, None)
    answer(lab, Finding.ALL, by=BERT)
    assert errors(whole_bundle(facts_of(lab), FhirVersion.R4B)) == []
    answer(lab, None, withdraw=True)
    sent_before = [f"{kind}/0" for kind in ("Observation", "DocumentReference", "ImagingStudy")]
    assert (
        errors(
            as_transaction(
                whole_bundle(facts_of(lab), FhirVersion.R4B), FhirVersion.R4B, sent_before
            )
        )
        == []
    )


def test_fhirkit_finds_what_is_wrong(lab: Lab) -> None:
    file(lab, 1)
    bundle = whole_bundle(facts_of(lab), FhirVersion.R4B)
    assert "unknown element" in errors(spoil(bundle, "Observation", colour="violet"))[0]
    assert "not a valid instant" in errors(spoil(bundle, "Provenance", recorded="yesterday"))[0]
