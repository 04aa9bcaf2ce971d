"""The patient's copy: never before a signature, plain words without alarm, and links that open once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dashboard.accounts.roles import NotAllowedError
from dashboard.audit.book import AuditBook, read_book, verify
from dashboard.blobs import BlobArchive
from dashboard.cases.keys import CaseKey
from dashboard.engine import open_engine
from dashboard.exchange.patient_links import LinkRefusedError, PatientLinks
from dashboard.exchange.patient_pdf import patient_pdf
from dashboard.exchange.patient_settings import PatientSettings
from dashboard.exchange.patient_words import NotSignedError, patient_copy
from dashboard.exchange.read_facts import NoSuchReportError
from dashboard.review.machine import Opinion
from dashboard.store import StoreAway
from hemowire.cli import main
from tests.dashboard.exchange.report_cases import answer, facts_of, file, pdf_words
from tests.dashboard.exchange.test_forms import FORBIDDEN
from tests.dashboard.review.desk_for_tests import ANNA, BERT, ENGINEER, KEY, OPERATOR, Lab
from wire_protocol.case_messages import Finding
from wire_protocol.words import RESEARCH_USE_ONLY

ALARM = re.compile(
    r"urgent|emergenc|immediate|danger|serious|severe|critical|alarm|hurry|at once|right away|"
    r"as soon as|fatal|deadly|aggressive|suspect|life|warning|quick|fast|cancer",
    re.IGNORECASE,
)
CASE = CaseKey("lab", "C7F3K2")


def grade(text: str) -> float:
    """Flesch-Kincaid; syllables as groups of vowels, none for a silent e, so rather too many."""
    sentences = max(1, len(re.findall(r"[.?!](?=\s|$)", text)))
    words = re.findall(r"[A-Za-z']+", text)
    syllables = sum(
        max(1, len(re.findall(r"[aeiouy]+", re.sub(r"(?<=[a-z])e$", "", word.lower()))))
        for word in words
    )
    return 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59


def test_the_measure_of_reading_tells_a_child_s_book_from_a_paper() -> None:
    assert grade("The cat sat on the mat. It was a big cat.") < 2
    paper = (
        "Morphological evaluation of peripheral leukocyte populations necessitates considerable "
        "hematological expertise, notwithstanding computational classification methodologies."
    )
    assert grade(paper) > 15


@pytest.mark.parametrize("finding", list(Finding))
def test_a_copy_is_plain_says_who_signed_and_raises_no_alarm(lab: Lab, finding: Finding) -> None:
    file(lab, 1)
    answer(lab, finding)
    facts = facts_of(lab)
    copy = patient_copy(facts, "Blood lab, phone 555 0100")
    assert grade(copy.text.replace("\n", " ")) <= 8
    assert not ALARM.search(copy.text)
    assert not FORBIDDEN.search(copy.text)
    for said in (
        RESEARCH_USE_ONLY,
        "Signed by anna",
        "14 November 2023",
        "555 0100",
        *copy.questions,
    ):
        assert said in copy.text
    page = patient_pdf(copy, facts)
    words = pdf_words(page)
    for piece in copy.text.split():
        assert piece in words
    assert len(re.findall(rb"/Type /Page\b", page)) == 1
    for secret in ("Smith", "AML." if finding is not Finding.AML else "Mrs", "99 %", facts.model):
        assert secret not in copy.text


def test_nobody_gets_a_copy_before_a_person_has_signed(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    with pytest.raises(NotSignedError, match="nobody has signed it"):
        patient_copy(facts_of(lab))
    out = lab.folder / "copy.pdf"
    command = ["export", "--case", "C7F3K2", "--format", "patient", "--config", config]
    for way in (["--out", str(out)], ["--link"]):
        assert main([*command, *way]) == 2
        assert "nobody has signed it" in capsys.readouterr().err
    assert not out.exists()
    desk = lab.desk()
    lab.now_ms = 4_000_000_000_000  # the command's clock is before the end of this undo
    version = desk.case("lab.C7F3K2", ANNA).summary.version
    desk.sign("lab.C7F3K2", Opinion(Finding.CML), by=ANNA, expected_version=version)
    desk.close()
    assert main([*command, "--out", str(out)]) == 2  # it can still be taken back
    assert not out.exists()


def test_a_changed_and_a_withdrawn_result_say_so_on_the_copy(lab: Lab) -> None:
    file(lab, 1)
    answer(lab, Finding.ALL)
    answer(lab, Finding.CLL, by=BERT)
    amended = patient_copy(facts_of(lab)).text
    assert "The lab has changed its result. Please throw older copies away." in amended
    assert "CLL" in amended
    assert "ALL" not in amended
    assert "copy of signature 2" in amended
    file(lab, 2)
    assert "They are not part of this result." in patient_copy(facts_of(lab)).text
    answer(lab, None, withdraw=True)
    facts = facts_of(lab)
    withdrawn = patient_copy(facts)
    assert "has taken back the result" in withdrawn.text
    assert not re.search("CLL|ALL|leukemia", withdrawn.text)
    assert "taken back" in pdf_words(patient_pdf(withdrawn, facts))
    assert not ALARM.search(withdrawn.text + amended)


@pytest.fixture
def links(lab: Lab) -> Iterator[PatientLinks]:
    file(lab, 1)
    archive = BlobArchive(str(lab.folder / "archive"))
    made = PatientLinks(
        lab.url,
        archive,
        AuditBook(KEY),
        PatientSettings(link_days=2),
        now_ms=lambda: lab.now_ms,
    )
    yield made
    made.close()
    archive.close()


def test_a_link_opens_once_and_the_book_says_who_made_and_when_it_was_opened(
    lab: Lab, links: PatientLinks
) -> None:
    answer(lab, Finding.CML)
    made = links.make_by_reader(CASE, ANNA)
    assert made.ends_at == "2023-11-16T22:13:31.000Z"
    opened = links.open(made.token, "192.0.2.9")
    assert "CML" in opened.copy.text
    assert opened.pdf.startswith(b"%PDF")
    with pytest.raises(LinkRefusedError, match="was opened before, and it opens once"):
        links.open(made.token, "192.0.2.9")
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        book = [one.entry for one in read_book(connection)]
    engine.dispose()
    told = [(one.account, one.action, one.address) for one in book if "link" in one.detail]
    assert told == [
        ("anna", "export", "192.0.2.7"),
        ("", "patient_link_opened", "192.0.2.9"),
        ("", "patient_link_refused", "192.0.2.9"),
    ]
    assert verify(lab.url, KEY)[1] is None
    assert made.token.encode() not in (lab.folder / "records.sqlite").read_bytes()


def test_of_many_who_open_a_link_at_once_one_gets_the_copy(lab: Lab, links: PatientLinks) -> None:
    answer(lab, Finding.CML)
    made = links.make_by_reader(CASE, ANNA)

    def try_it(number: int) -> bool:
        while True:
            try:
                links.open(made.token, f"192.0.2.{number}")
            except LinkRefusedError:
                return False
            except StoreAway:  # the others write: a slow disk may need more than one try
                continue
            return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_it, range(6))) == 1


def test_a_link_ends_by_time_by_the_next_signature_and_for_good(
    lab: Lab, links: PatientLinks
) -> None:
    answer(lab, Finding.CML)
    old, late = links.make(CASE, ANNA), links.make(CASE, ANNA)
    lab.wait(2 * 86_400)
    with pytest.raises(LinkRefusedError, match="too old"):
        links.open(late.token, "")
    lab.wait(-2 * 86_400)
    answer(lab, Finding.CLL, by=BERT)
    with pytest.raises(LinkRefusedError, match="has changed this result since"):
        links.open(old.token, "")
    newer = links.make(CASE, BERT)
    answer(lab, None, withdraw=True)
    for token in (old.token, newer.token):
        with pytest.raises(LinkRefusedError, match="has taken this result back"):
            links.open(token, "")
    with pytest.raises(LinkRefusedError, match="not known here"):
        links.open(newer.token[:-1], "")


def test_only_who_may_export_this_site_s_cases_makes_links(lab: Lab, links: PatientLinks) -> None:
    answer(lab, Finding.CML)
    for actor in (OPERATOR, ENGINEER):
        with pytest.raises(NotAllowedError):
            links.make_by_reader(CASE, actor)
    with pytest.raises(NoSuchReportError):
        links.make_by_reader(CASE, replace(ANNA, site="clinic"))
    with pytest.raises(NoSuchReportError):
        links.make_by_reader(CaseKey("lab", "NOPE01"), ANNA)


def test_the_command_writes_the_copy_and_makes_a_link_that_opens(
    lab: Lab, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file(lab, 1)
    answer(lab, Finding.CML)
    out = lab.folder / "copy.pdf"
    command = ["export", "--case", "C7F3K2", "--format", "patient", "--config", config]
    assert main([*command, "--out", str(out)]) == 0
    assert "chronic myeloid leukemia" in pdf_words(out.read_bytes())
    capsys.readouterr()
    assert main([*command, "--link", "--url", "https://lab.example.org"]) == 0
    said = capsys.readouterr().out
    found = re.search(r"https://lab\.example\.org/patient#([A-Za-z0-9_-]{40,})", said)
    assert found is not None
    assert "opened once" in said
    archive = BlobArchive(str(lab.folder / "archive"))
    links = PatientLinks(lab.url, archive, AuditBook(KEY), PatientSettings())
    assert "CML" in links.open(found[1], "").copy.text
    links.close()
    archive.close()
    assert main([*command, "--link", "--out", str(out)]) == 2
    assert verify(lab.url, KEY)[1] is None
