"""A signed case taken along from the page: every form is what it says, nothing leaves unsigned, each is in the book."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pydicom
import pytest
from sqlalchemy import create_engine, select

from dashboard.accounts.roles import Actor, Role
from dashboard.audit.tables import AuditRow
from dashboard.review.machine import Opinion
from tests.chromium import chromium
from tests.dashboard.page.page_house import KIM, PHONE, PageHouse, Reader, page_house
from wire_protocol.case_messages import Finding

BEGINS = {"pdf": b"%PDF-", "csv": b"case", "dicom": b"PK", "fhir-r5": b"{", "fhir-r4b": b"{",
          "patient": b"%PDF-"}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[PageHouse]:
    with page_house(tmp_path, undo_s=0) as served:
        served.image_id = served.field("C7F3K2", "aml")
        served.field("H26-0413", "cll")
        sign(served, "C7F3K2", Finding.ALL)
        yield served


def sign(house: PageHouse, case_id: str, finding: Finding) -> None:
    version = house.desk.case(f"lab.{case_id}", KIM).summary.version
    house.desk.sign(f"lab.{case_id}", Opinion(finding), by=KIM, expected_version=version)
    house.desk.settle()


def export(
    house: PageHouse, form: str, actor: Actor = KIM, case_id: str = "C7F3K2"
) -> httpx.Response:
    """As the page asks for it."""
    with httpx.Client(base_url=house.url, cookies={"hemowire": house.session(actor)}) as http:
        token = http.get("/api/me").json()["token"]
        blind = "?blind=1" if actor.reads_before_ai else ""
        return http.post(
            f"/api/cases/lab.{case_id}/export{blind}",
            json={"form": form},
            headers={"x-hemowire-token": token, "origin": house.url},
            timeout=50,
        )


def exports(house: PageHouse) -> list[tuple[str, str, str]]:
    """Who exported what, as the audit book has it."""
    engine = create_engine(house.settings.database_url)
    with engine.begin() as connection:
        found = connection.execute(
            select(AuditRow.account, AuditRow.subject, AuditRow.detail).where(
                AuditRow.action == "export"
            )
        ).all()
    engine.dispose()
    return [(row.account, row.subject, json.loads(row.detail)["format"]) for row in found]


@pytest.mark.parametrize("form", BEGINS)
def test_every_form_is_what_it_says_and_stands_in_the_audit_book(
    house: PageHouse, form: str
) -> None:
    answer = export(house, form)
    assert answer.status_code == 200, answer.text
    assert answer.content.lower().startswith(BEGINS[form].lower())
    assert "C7F3K2" in answer.headers["content-disposition"]
    if form.startswith("fhir"):
        assert answer.json()["resourceType"] == "Bundle"
    if form == "dicom":
        (name,) = (files := zipfile.ZipFile(io.BytesIO(answer.content))).namelist()
        assert name == f"{house.image_id}.dcm"
        assert pydicom.dcmread(io.BytesIO(files.read(name))).Rows > 100
    assert exports(house) == [("kim", "lab.C7F3K2", form)]


def test_what_nobody_signed_and_who_may_not_gets_no_report(house: PageHouse) -> None:
    unsigned = export(house, "pdf", case_id="H26-0413")
    assert (unsigned.status_code, "nobody has signed" in unsigned.json()["error"]) == (409, True)
    assert export(house, "pdf", case_id="N0NE").status_code == 404
    assert export(house, "docx").status_code == 400
    for role in (Role.LAB_OPERATOR, Role.ENGINEER, Role.ADMINISTRATOR):
        assert export(house, "pdf", Actor("x", role)).status_code == 403
    other = Actor("lee", Role.HEMATOLOGIST, reads_before_ai=True)
    kept_back = export(house, "pdf", other)
    assert (kept_back.status_code, "answer first" in kept_back.json()["error"]) == (409, True)
    assert export(house, "csv", replace(other, site="elsewhere")).status_code == 404
    assert exports(house) == []


def test_a_reader_takes_a_signed_case_along_from_the_phone(
    house: PageHouse, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        reader = Reader(browser, house)
        reader.come_in(PHONE)
        browser.until("document.querySelectorAll('.row').length >= 1", 20)
        reader.press("Signed")
        reader.open("C7F3K2")
        reader.press("More")
        reader.press("Export")
        reader.press("FHIR R5")
        browser.until(
            "document.querySelector('#dialog-body').innerText.includes('was given to this browser')",
            40,
        )
        assert reader.text("#dialog-error") == ""
        assert browser.complaints == []
    assert exports(house) == [("kim", "lab.C7F3K2", "fhir-r5")]


def test_a_link_for_the_patient_is_made_from_the_phone_and_opens_once(
    house: PageHouse, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile") as browser:
        reader = Reader(browser, house)
        reader.come_in(PHONE)
        browser.until("document.querySelectorAll('.row').length >= 1", 20)
        reader.press("Signed")
        reader.open("C7F3K2")
        reader.press("More")
        reader.press("Link for the patient")
        reader.press("Make the link")
        browser.until("Boolean(document.querySelector('.link-text'))", 20)
        address = reader.text(".link-text")
        assert address.startswith(f"{house.url}/patient#")
        browser.send("Network.clearBrowserCookies")  # the patient is no reader
        browser.go(address)
        browser.until("document.getElementById('open')?.disabled === false", 20)
        browser.run("document.getElementById('open').click()")
        browser.until("document.getElementById('copy').dataset.ready === 'yes'", 20)
        assert "ALL" in reader.text("#copy") or "lymphoblastic" in reader.text("#copy").lower()
