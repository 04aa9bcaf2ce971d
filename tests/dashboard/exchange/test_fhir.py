"""One case as a FHIR bundle: states, codes, labels, and what our own checks refuse."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.R4B.bundle import Bundle as R4BBundle

from dashboard.exchange.codes import LOINC, SNOMED, SNOMED_OF, FhirVersion, coding
from dashboard.exchange.fhir import fhir_bundle, fhir_json
from dashboard.exchange.fhir_checks import FhirRefusedError, check_bundle
from dashboard.exchange.pdf import case_pdf
from hemowire.cli import main
from tests.dashboard.exchange.outside_tools import find_fhir_package
from tests.dashboard.exchange.report_cases import (
    BOTH,
    CARD,
    answer,
    facts_of,
    file,
    pdf_words,
    resources,
    spoil,
    whole_bundle,
)
from tests.dashboard.review.desk_for_tests import BERT, Lab
from wire_protocol.case_messages import Finding


@pytest.mark.parametrize("version", BOTH)
def test_a_report_goes_from_partial_to_final_to_amended_to_entered_in_error(
    lab: Lab, version: FhirVersion
) -> None:
    file(lab, 1, 2)
    draft = fhir_bundle(facts_of(lab), CARD, version)
    assert resources(draft, "DiagnosticReport")[0]["status"] == "partial"
    assert {one["status"] for one in resources(draft, "Observation")} == {"preliminary"}
    assert "nobody has signed" in resources(draft, "DiagnosticReport")[0]["conclusion"]
    answer(lab, None)
    final = fhir_bundle(facts_of(lab), CARD, version)
    assert resources(final, "DiagnosticReport")[0]["status"] == "final"
    assert {one["status"] for one in resources(final, "Observation")} == {"final"}
    answer(lab, Finding.ALL, by=BERT)
    amended = fhir_bundle(facts_of(lab), CARD, version)
    assert resources(amended, "DiagnosticReport")[0]["status"] == "amended"
    person, ai = resources(amended, "Observation")[:2]
    assert (person["status"], ai["status"]) == ("amended", "preliminary")
    answer(lab, None, withdraw=True)
    withdrawn = fhir_bundle(facts_of(lab), CARD, version)
    (report,) = resources(withdrawn, "DiagnosticReport")
    assert report["status"] == "entered-in-error"
    assert "WITHDRAWN" in report["conclusion"]
    assert "conclusionCode" not in report
    assert "Withdrawn" in pdf_words(case_pdf(facts_of(lab), CARD))
    ids = [resources(one, "DiagnosticReport")[0]["id"] for one in (draft, final, withdrawn)]
    assert len(set(ids)) == 1
    assert len(resources(withdrawn, "Provenance")) == 1 + 3


@pytest.mark.parametrize(("version", "model"), [("r5", Bundle), ("r4b", R4BBundle)])
def test_a_bundle_is_the_same_after_fhir_resources_has_read_it(
    lab: Lab, version: str, model: type[Bundle]
) -> None:
    (sha256,) = file(lab, 1)
    answer(lab, None)
    text = fhir_json(facts_of(lab), CARD, FhirVersion(version))
    again = model.model_validate_json(text)
    assert json.loads(again.model_dump_json()) == json.loads(text)
    bundle = json.loads(text)
    (document,) = resources(bundle, "DocumentReference")
    assert {"system": "urn:hemowire:sha256", "value": sha256} in document["identifier"]
    assert document["content"][0]["attachment"]["contentType"] == "image/jpeg"
    labelled = {
        one["resource"]["resourceType"]
        for one in bundle["entry"]
        if one["resource"].get("meta", {}).get("security", [{}])[0].get("code") == "AIAST"
    }
    assert labelled == {"DiagnosticReport", "Observation", "Device", "Provenance"}
    person = resources(bundle, "Observation")[0]
    assert "meta" not in person
    assert person["performer"][0]["identifier"]["value"] == "anna"


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (Finding.ALL, "91857003"),
        (Finding.AML, "91861009"),
        (Finding.CLL, "92814006"),
        (Finding.CML, "92818009"),
        (Finding.APL, None),
        (Finding.NO_LEUKEMIA_PATTERN, None),
    ],
)
def test_what_a_person_signs_has_the_code_of_that_finding(
    lab: Lab, finding: Finding, code: str | None
) -> None:
    file(lab, 1)
    answer(lab, finding)
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R5)
    person, ai = resources(bundle, "Observation")[:2]
    assert person["code"]["coding"][0] == coding(LOINC, "14869-2")
    assert ai["code"]["coding"][0] == coding(LOINC, "5909-7")
    expected = None if code is None else [{"system": SNOMED, "code": code}]
    assert person["valueCodeableConcept"].get("coding") == expected
    assert SNOMED_OF.get(finding) == code


def test_what_cannot_be_said_has_a_reason_and_no_value(lab: Lab) -> None:
    file(lab, 1, p_all=0.2, p_aml=0.1, p_cll=0.2, p_cml=0.2, p_healthy=0.3, white_cells=3)
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R4B)
    check_bundle(bundle, FhirVersion.R4B)
    ai = resources(bundle, "Observation")[0]
    assert "valueCodeableConcept" not in ai
    assert ai["dataAbsentReason"]["text"] == "cannot say (too few white cells)"


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("kind", ["DiagnosticReport", "Observation", "Device", "DocumentReference"])
def test_a_state_that_fhir_does_not_know_is_refused_although_fhir_resources_takes_it(
    lab: Lab, version: FhirVersion, kind: str
) -> None:
    file(lab, 1)
    bundle = fhir_bundle(facts_of(lab), CARD, version)
    check_bundle(bundle, version)
    spoilt = spoil(bundle, kind, status="zzz")
    (Bundle if version is FhirVersion.R5 else R4BBundle).model_validate(spoilt)
    with pytest.raises(FhirRefusedError, match=f"{kind}.*'zzz'"):
        check_bundle(spoilt, version)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("DiagnosticReport", {"conclusion": "AML."}, "Research use only"),
        ("DiagnosticReport", {"result": [{"reference": "urn:uuid:0"}]}, "not in the bundle"),
        ("DiagnosticReport", {"subject": {"display": "Mrs Smith"}}, "subject"),
        ("DiagnosticReport", {"code": {"coding": [{"system": LOINC, "code": "1-8"}]}}, "'1-8'"),
        ("Observation", {"meta": {}}, "AIAST"),
        ("Observation", {"valueString": "x"}, "one value"),
        ("Device", {"meta": {}}, "AIAST"),
        ("Device", {"resourceType": "Patient"}, "Patient"),
    ],
)
def test_our_own_checks_refuse(lab: Lab, kind: str, changes: dict[str, Any], words: str) -> None:
    file(lab, 1)
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R5)
    with pytest.raises(FhirRefusedError, match=words):
        check_bundle(spoil(bundle, kind, **changes), FhirVersion.R5)


VALIDATE = """
const { Fhir } = require(process.argv[1] + "/node_modules/fhir/fhir");
const found = new Fhir().validate(JSON.parse(require("fs").readFileSync(0, "utf8")),
                                  { errorOnUnexpected: true });
const errors = found.messages.filter((one) => ["error", "fatal"].includes(one.severity));
console.log(JSON.stringify(errors));
"""


def test_somebody_else_s_validator_finds_no_error_in_r4b_and_finds_a_wrong_state(
    lab: Lab, config: str
) -> None:
    folder = find_fhir_package("fhir")
    if folder is None:
        pytest.skip("needs node and npm's fhir: python -m tests.dashboard.exchange.outside_tools")

    def errors(bundle: str) -> list[dict[str, str]]:
        done = subprocess.run(
            ["node", "-e", VALIDATE, str(folder)],
            input=bundle,
            capture_output=True,
            check=True,
            text=True,
        )
        found: list[dict[str, str]] = json.loads(done.stdout)
        return found

    file(lab, 1, 2)
    assert errors(fhir_json(facts_of(lab), CARD, FhirVersion.R4B)) == []
    answer(lab, None)
    answer(lab, Finding.ALL, by=BERT)
    images = ["--format", "dicom", "--out", str(lab.folder / "images")]
    assert main(["export", "--case", "C7F3K2", *images, "--config", config]) == 0
    bundle = whole_bundle(facts_of(lab), FhirVersion.R4B)
    assert resources(bundle, "ImagingStudy")
    assert errors(json.dumps(bundle)) == []
    (error,) = errors(json.dumps(spoil(bundle, "Observation", status="zzz")))
    assert error["location"] == "Observation.status"
