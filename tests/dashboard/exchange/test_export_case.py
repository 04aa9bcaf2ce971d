"""`hemowire export --case`: what it writes, what the audit book says, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from dashboard.audit.book import read_book
from dashboard.engine import open_engine
from dashboard.reports import report_of_diagnosis
from dashboard.review.machine import Opinion
from dashboard.store import Filed, RecordsStore
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import (
    facts_of,
    file,
)
from tests.dashboard.reports_for_tests import AT, diagnosis
from tests.dashboard.review.desk_for_tests import ANNA, CLASSES, Lab
from wire_protocol.case_messages import Finding


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
