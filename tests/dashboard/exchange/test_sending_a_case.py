"""`hemowire export --to`: a report at a FHIR server over HTTP, once, however often it is sent and whatever breaks."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from broker_config.certificates import make_server_certificate
from dashboard.audit.book import read_book, verify
from dashboard.engine import open_engine
from dashboard.exchange.fhir_settings import FhirSettings
from dashboard.page.settings import DashboardSettings
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import answer, file
from tests.dashboard.exchange.small_fhir_server import SmallFhirServer, small_fhir_server
from tests.dashboard.review.desk_for_tests import BERT, KEY, Lab
from wire_protocol.case_messages import Finding


def fhir_table(config: str, **values: Any) -> None:
    """Writes [fhir] into dashboard.toml, with waits that a test can wait."""
    told = {"first_wait_s": 0.01, "longest_wait_s": 0.05, "timeout_s": 10.0} | values
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    with Path(config).open("a") as out:
        out.write("\n".join(["[fhir]", *lines]) + "\n")


def send(config: str, server: SmallFhirServer, *more: str, form: str = "fhir") -> int:
    case = ["export", "--case", "C7F3K2", "--format", form, "--config", config]
    return main([*case, "--to", server.url, *more])


@pytest.mark.parametrize("version", ["5.0.0", "4.3.0", "4.0.1"])
def test_a_case_sent_twice_is_there_once_and_an_amendment_replaces_it(
    lab: Lab, config: str, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1, 2)
    answer(lab, None)
    with small_fhir_server(fhir_version=version) as server:
        assert send(config, server) == 0
        assert "of them new. Final: signed by anna" in capsys.readouterr().out
        names = set(server.stored)
        assert send(config, server) == 0
        assert "0 of them new" in capsys.readouterr().out
        assert set(server.stored) == names
        answer(lab, Finding.CLL, by=BERT)
        assert send(config, server) == 0
        (report,) = server.of_kind("DiagnosticReport")
        assert report["status"] == "amended"
        assert "Signed result: CLL" in report["conclusion"]
        new = set(server.stored) - names
        assert [name.split("/")[0] for name in new] == ["Provenance"]  # of the second signature
        linked = {one["reference"] for one in report["result"]}
        assert linked <= set(server.stored)


def test_a_finding_that_is_no_longer_in_the_report_is_entered_in_error_at_the_server(
    lab: Lab, config: str
) -> None:
    file(lab, 1)
    answer(lab, None)
    with small_fhir_server() as server:
        assert send(config, server) == 0
        file(lab, 2)  # it came after the signature: the counted cells are not those signed
        assert send(config, server) == 0
        states = {one["code"]["text"]: one["status"] for one in server.of_kind("Observation")}
        assert states.pop("Withdrawn") == "entered-in-error"
        assert set(states.values()) == {"final"}


@pytest.mark.parametrize(
    "faults", [["500"], ["503:1", "cut before"], ["cut after"], ["429:0", "short", "cut after"]]
)
def test_what_passes_by_itself_is_tried_again_and_leaves_one_copy(
    lab: Lab, config: str, faults: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    answer(lab, None)
    fhir_table(config)
    with small_fhir_server() as server:
        server.faults.extend(faults)
        assert send(config, server) == 0
        assert server.posts == len(faults) + 1
        for kind, count in {"DiagnosticReport": 1, "Observation": 3, "Provenance": 2}.items():
            assert len(server.of_kind(kind)) == count
    assert capsys.readouterr().out.count("attempt ") == len(faults)


def test_attempts_have_an_end_and_the_last_problem_is_told(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    fhir_table(config)
    with small_fhir_server() as server:
        server.faults.extend(["500"] * 9)
        assert send(config, server) == 2
        assert server.posts == 5
        assert not server.stored
        assert "answered 500 Internal Server Error" in capsys.readouterr().err
        assert main(["export", "--sent", "--to", server.url, "--config", config]) == 0
    assert "waits" in capsys.readouterr().out


def test_a_refusal_is_told_in_the_server_s_words_and_not_tried_again(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    answer(lab, None)
    with small_fhir_server() as server:
        server.faults.append("only registered laboratories\x1b[2J may write final reports")
        assert send(config, server) == 2
        assert server.posts == 1
        error = capsys.readouterr().err
        assert "only registered laboratories [2J may write final reports" in error
        assert "(at DiagnosticReport.status)" in error
        assert main(["export", "--sent", "--to", server.url, "--config", config]) == 1
        assert "given up" in capsys.readouterr().out
        assert send(config, server) == 0  # a person may try again


def test_a_server_of_another_version_than_asked_for_says_what_it_misses(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    with small_fhir_server(fhir_version="4.3.0") as server:
        assert send(config, server, form="fhir-r5") == 2
        assert "answered 400" in capsys.readouterr().err
        server.fhir_version = "3.0.2"
        assert send(config, server) == 2
        assert "speaks FHIR 3.0.2; reports are R4, R4B or R5" in capsys.readouterr().err


def test_the_header_comes_from_a_file_and_goes_to_its_own_server_only(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    answer(lab, None)
    token = lab.folder / "token"
    token.write_text("Authorization: Bearer s3cret\n")
    with (
        small_fhir_server(header=("authorization", "Bearer s3cret")) as server,
        small_fhir_server() as other,
    ):
        fhir_table(config, url=server.url, header_file=str(token))
        assert send(config, server) == 0
        assert send(config, other) == 0
        assert all("authorization" not in one for one in other.seen_headers)
        token.write_text("Authorization: Bearer old\n")
        assert send(config, server) == 2
        assert "401 Unauthorized: the token is not known here" in capsys.readouterr().err
        token.write_text("s3cret")
        assert send(config, server) == 2
        error = capsys.readouterr().err
        assert "one line is needed" in error
        assert "s3cret" not in error
        assert send(config, server, "--header-file", str(lab.folder / "none")) == 2
        assert "No such file" in capsys.readouterr().err
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        book = [one.entry for one in read_book(connection) if one.entry.action.startswith("export")]
    engine.dispose()
    assert "s3cret" not in "".join(one.detail for one in book)
    assert [one.action for one in book[:4]] == ["export", "export_arrived"] * 2
    assert verify(lab.url, KEY)[1] is None


def test_a_certificate_that_nobody_vouches_for_is_refused(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    made = make_server_certificate(lab.folder / "tls", ["127.0.0.1"], days=2)
    with small_fhir_server(cert_file=made.cert_file, key_file=made.key_file) as server:
        assert send(config, server) == 2
        assert "its certificate is not trusted" in capsys.readouterr().err
        assert not server.stored
        assert send(config, server, "--ca-file", str(made.ca_file)) == 0
        assert server.of_kind("DiagnosticReport")


def test_a_server_that_does_not_answer_is_given_up_in_time(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    fhir_table(config, timeout_s=0.4)
    with small_fhir_server() as server:
        server.faults.extend(["hang after"] * 9)
        assert send(config, server, form="fhir-r5") == 2
        assert "no answer in time" in capsys.readouterr().err
        server.until(lambda: server.of_kind("DiagnosticReport"))
        assert len(server.of_kind("DiagnosticReport")) == 1


def test_a_redirect_is_not_followed_and_no_server_at_all_is_told(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    fhir_table(config)
    with small_fhir_server() as server:
        server.url, real = server.url.replace("/fhir", "/moved"), server.url
        assert send(config, server) == 2
        assert f"it points to {server.url}" in capsys.readouterr().err
        server.url = real
    assert send(config, server) == 2
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://fhir.example.org/r4", "in the clear"),
        ("https://me:secret@fhir.example.org", "no password in the address"),
        ("https://fhir.example.org/r4?x=1", "has no ? or #"),
        ("ftp://fhir.example.org", "https://host/path"),
        ("https://fhir.example.org:99999/", "no address"),
    ],
)
def test_an_address_that_cannot_be_a_server_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        FhirSettings(url=url)


def test_only_fhir_goes_to_a_server_and_a_place_is_needed(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    with small_fhir_server() as server:
        assert send(config, server, form="csv") == 2
        assert "only FHIR and DICOM go --to" in capsys.readouterr().err
        assert send(config, server, "--out", str(lab.folder / "x")) == 2
        assert main(["export", "--case", "C7F3K2", "--format", "fhir", "--config", config]) == 2
        assert "--out FILE or --to URL" in capsys.readouterr().err
        assert server.posts == 0


def test_the_tables_that_the_documentation_shows_are_settings() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reports.md").read_text(encoding="utf-8")
    shown = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    tables = tomllib.loads("\n".join(re.findall(r"^\[\w+\]\n(?:\w+ = .*\n)+", shown, re.M)))
    settings = DashboardSettings.model_validate(tables | {"archive_url": "archive"})
    assert settings.fhir.sends
    assert settings.fhir.attempts == FhirSettings().attempts
    assert settings.patient.link_days == 7
