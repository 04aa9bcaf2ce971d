"""One case as FHIR, PDF and CSV: states, codes, what our own checks refuse, and the command that writes it."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.R4B.bundle import Bundle as R4BBundle

from dashboard.audit.book import read_book
from dashboard.blobs import BlobArchive
from dashboard.engine import open_engine
from dashboard.exchange.codes import LOINC, SNOMED, SNOMED_OF, FhirVersion, coding
from dashboard.exchange.facts import ReportFacts, find_key, read_facts
from dashboard.exchange.fhir import fhir_bundle, fhir_json
from dashboard.exchange.fhir_checks import FhirRefusedError, check_bundle
from dashboard.exchange.pdf import case_pdf
from dashboard.exchange.table import case_csv
from dashboard.page.models import FigureView, ModelView
from dashboard.reports import report_of_diagnosis
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from hemowire.cli import main
from tests.dashboard.reports_for_tests import AT, diagnosis
from tests.dashboard.review.desk_for_tests import ANNA, BERT, CLASSES, KEY, Lab
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import Finding
from wire_protocol.words import RESEARCH_USE_ONLY

BOTH = (FhirVersion.R5, FhirVersion.R4B)
CARD = ModelView(
    name="leukemia5-test@3f9c2a17/openvino-bf16",
    is_known=True,
    architecture="densenet121",
    training_data="synthetic",
    limits_of_use=("Drawn cells only.",),
    figures=(FigureView(name="slide sensitivity", words="0.97 (0.94 to 0.99)"),),
)
FORBIDDEN = re.compile(r"healthy|diagnosed|\bpositive\b|\bnegative\b|100 %", re.IGNORECASE)


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Lab:
    (tmp_path / "archive").mkdir()
    return Lab(tmp_path, url)


@pytest.fixture
def config(lab: Lab) -> str:
    path = lab.folder / "dashboard.toml"
    (lab.folder / "audit.key").write_text(KEY.hex())
    path.write_text(
        f'database_url = "{lab.url}"\narchive_url = "{lab.folder}/archive"\n'
        f'[accounts]\naudit_key_file = "{lab.folder}/audit.key"\n'
    )
    return str(path)


def file(lab: Lab, *numbers: int, **changes: Any) -> list[str]:
    """Records real pictures as fields of case C7F3K2; their digests."""
    store, digests = RecordsStore(lab.url, AT), []
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        data = cv2.imencode(".jpg", pixels)[1].tobytes()
        digests.append(hashlib.sha256(data).hexdigest())
        path = lab.folder / "archive" / blob_key(digests[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        told = CLASSES | {"image_sha256": digests[-1]} | changes
        store.commit(
            [Filed(report_of_diagnosis(diagnosis(number, **told), "lab", "scope-1"), True)], AT
        )
    store.close()
    return digests


def answer(lab: Lab, finding: Finding | None, *, by: Any = ANNA, withdraw: bool = False) -> None:
    desk = lab.desk()
    found = desk.case("lab.C7F3K2", by)
    version = found.summary.version
    if withdraw:
        desk.enter_in_error("lab.C7F3K2", "Mrs Smith", by=by, expected_version=version)
    else:
        deed = desk.amend if found.review.signatures else desk.sign
        opinion = Opinion(finding, comment="Mrs Smith")
        deed("lab.C7F3K2", opinion, by=by, expected_version=version)
    lab.wait(11)
    desk.settle()
    desk.close()


def facts_of(lab: Lab) -> ReportFacts:
    archive, engine = BlobArchive(str(lab.folder / "archive")), open_engine(lab.url)
    with engine.begin() as connection:
        found = read_facts(connection, find_key(connection, "C7F3K2"), archive, AT)
    engine.dispose()
    archive.close()
    return found


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in found if one["resourceType"] == kind]


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


def spoil(bundle: dict[str, Any], kind: str, **changes: Any) -> dict[str, Any]:
    spoilt = copy.deepcopy(bundle)
    resources(spoilt, kind)[0].update(changes)
    return spoilt


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


def test_somebody_else_s_validator_finds_no_error_in_r4b_and_finds_a_wrong_state(lab: Lab) -> None:
    folder, node = os.environ.get("HEMOWIRE_FHIR_VALIDATOR"), shutil.which("node")
    if folder is None or node is None:
        pytest.skip("needs node and HEMOWIRE_FHIR_VALIDATOR: where `npm install fhir` was run")

    def errors(bundle: str) -> list[dict[str, str]]:
        done = subprocess.run(
            [node, "-e", VALIDATE, folder], input=bundle, capture_output=True, check=True, text=True
        )
        found: list[dict[str, str]] = json.loads(done.stdout)
        return found

    file(lab, 1, 2)
    assert errors(fhir_json(facts_of(lab), CARD, FhirVersion.R4B)) == []
    answer(lab, None)
    answer(lab, Finding.ALL, by=BERT)
    assert errors(fhir_json(facts_of(lab), CARD, FhirVersion.R4B)) == []
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R4B)
    (error,) = errors(json.dumps(spoil(bundle, "Observation", status="zzz")))
    assert error["location"] == "Observation.status"


def test_no_form_holds_a_comment_or_a_word_that_must_not_be_shown(lab: Lab) -> None:
    file(lab, 1)
    for finding in (None, Finding.NO_LEUKEMIA_PATTERN):
        answer(lab, finding)
        facts = facts_of(lab)
        forms = [case_csv(facts), pdf_words(case_pdf(facts, CARD))]
        forms += [fhir_json(facts, CARD, version) for version in BOTH]
        for form in forms:
            assert "Smith" not in form
            assert not FORBIDDEN.search(form)
            assert RESEARCH_USE_ONLY in form


def test_fields_that_came_after_the_signature_change_nothing_that_was_signed(lab: Lab) -> None:
    file(lab, 1)
    answer(lab, None)
    file(lab, 2, p_all=0.998, p_aml=0.001)
    facts = facts_of(lab)
    assert (facts.fields, facts.new_fields, facts.probabilities) == (1, 1, None)
    bundle = fhir_bundle(facts, CARD, FhirVersion.R5)
    assert len(resources(bundle, "DocumentReference")) == 2
    assert [len(one["derivedFrom"]) for one in resources(bundle, "Observation")] == [1, 1]
    assert "1 of its fields came after the signature" in fhir_json(facts, CARD, FhirVersion.R5)
    assert "came after the signature" in pdf_words(case_pdf(facts, CARD))


def pdf_words(data: bytes) -> str:
    """The words of a page in the order they were written."""
    found = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", data)
    plain = [re.sub(rb"\\([()\\])", rb"\1", one) for one in found]
    return " ".join(one.decode("cp1252") for one in plain)


def test_a_page_of_pdf_says_who_signed_what_and_shows_the_pictures(lab: Lab) -> None:
    digests = file(lab, 1, 2, 3)
    draft = case_pdf(facts_of(lab), CARD)
    assert "PRELIMINARY: an AI draft that nobody has signed." in pdf_words(draft)
    assert "Nobody has signed this" in pdf_words(draft)
    answer(lab, Finding.AML)
    data = case_pdf(facts_of(lab), CARD)
    words = pdf_words(data)
    assert "Signed result: AML" in words
    assert "Final: signed by anna at 2023-11-14T22:13:30" in words
    assert ">99 %" in words
    assert "Drawn cells only." in words
    assert all(digest[:24] in words for digest in digests)
    assert data.count(b"/Subtype /Image") == 3
    assert len(re.findall(rb"/Type /Page\b", data)) == 1
    assert data == case_pdf(facts_of(lab), CARD)


def test_a_picture_that_is_gone_is_said_to_be(lab: Lab) -> None:
    (sha256,) = file(lab, 1)
    (lab.folder / "archive" / blob_key(sha256)).unlink()
    facts = facts_of(lab)
    assert "archive does not hold this picture" in pdf_words(case_pdf(facts, CARD))
    assert "does not hold" in fhir_json(facts, CARD, FhirVersion.R4B)


def test_a_table_has_a_line_for_each_signature_and_the_last_counts(lab: Lab) -> None:
    file(lab, 1)
    (draft,) = csv.DictReader(io.StringIO(case_csv(facts_of(lab))))
    assert (draft["state"], draft["finding"]) == ("partial", "")
    assert "nobody has signed" in draft["words"]
    answer(lab, None)
    answer(lab, Finding.CLL, by=BERT)
    first, last = csv.DictReader(io.StringIO(case_csv(facts_of(lab))))
    assert (first["state"], first["finding"], first["signed_by"]) == ("final", "aml", "anna")
    assert (last["state"], last["finding"], last["snomed_ct"]) == ("amended", "cll", "92814006")
    assert float(last["p_aml"]) > 0.9
    assert "Superseded" in first["words"]


@pytest.mark.parametrize("form", ["fhir-r5", "fhir-r4b", "pdf", "csv"])
def test_the_command_writes_a_report_and_the_audit_book_says_so(
    lab: Lab, config: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    out = lab.folder / "report"
    command = [
        "export",
        "--case",
        "C7F3K2",
        "--format",
        form,
        "--out",
        str(out),
        "--config",
        config,
    ]
    assert main(command) == 0
    assert "PRELIMINARY" in capsys.readouterr().out
    assert out.stat().st_size > 100
    assert main(command) == 2
    assert "it exists" in capsys.readouterr().err
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        (entry,) = [one.entry for one in read_book(connection) if one.entry.action == "export"]
    engine.dispose()
    assert entry.subject == "lab.C7F3K2"
    assert json.loads(entry.detail) == {"format": form, "status": "draft", "fields": 1}


def test_an_answer_whose_undo_has_passed_is_exported_as_signed(lab: Lab, config: str) -> None:
    file(lab, 1)
    desk = lab.desk()
    version = desk.case("lab.C7F3K2", ANNA).summary.version
    desk.sign("lab.C7F3K2", Opinion(Finding.CML), by=ANNA, expected_version=version)
    assert facts_of(lab).status == "draft"
    desk.close()
    out = lab.folder / "report.csv"
    command = ["export", "--case", "lab.C7F3K2", "--format", "csv", "--out", str(out)]
    assert main([*command, "--config", config]) == 0
    (line,) = csv.DictReader(io.StringIO(out.read_text()))
    assert (line["state"], line["signed_by"]) == ("final", "anna")


@pytest.mark.parametrize("case", ["lab.NOPE", "NOPE", "../../etc/passwd", "' OR 1=1 --", "unfiled"])
def test_a_case_that_is_not_there_is_a_clear_error_and_writes_nothing(
    lab: Lab, config: str, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    out = lab.folder / "report.csv"
    command = ["export", "--case", case, "--format", "csv", "--out", str(out), "--config", config]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert case in error
    assert "in the records store" in error
    assert not out.exists()


def test_a_case_id_of_two_sites_needs_its_site(lab: Lab, config: str, capsys: Any) -> None:
    file(lab, 1)
    store = RecordsStore(lab.url, AT)
    other = diagnosis(2, **(CLASSES | {"site": "clinic", "outbox_id": "c" * 32}))
    store.commit([Filed(report_of_diagnosis(other, "clinic", "scope-1"), True)], AT)
    store.close()
    out = str(lab.folder / "report.csv")
    command = ["export", "--format", "csv", "--out", out, "--config", config, "--case"]
    assert main([*command, "C7F3K2"]) == 2
    assert "clinic.C7F3K2" in capsys.readouterr().err
    assert main([*command, "clinic.C7F3K2"]) == 0
