"""A patient's link in a real browser over the real page: no session, one opening, and nothing else to be had by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dashboard.accounts.roles import Actor, Role
from dashboard.review.machine import Opinion
from tests.chromium import Browser, chromium
from tests.dashboard.exchange.report_cases import pdf_words
from tests.dashboard.page.page_house import KIM, PHONE, PageHouse, page_house
from tests.dashboard.page.test_refusals import Client
from wire_protocol.case_messages import Finding

CONTRAST = (Path(__file__).parents[2] / "contrast.js").read_text()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHouse]:
    with page_house(tmp_path_factory.mktemp("page"), undo_s=0.01) as served:
        served.field("C7F3K2", "cml")
        served.field("D7F3K2", "cml")
        version = served.desk.case("lab.C7F3K2", KIM).summary.version
        served.desk.sign("lab.C7F3K2", Opinion(Finding.CML), by=KIM, expected_version=version)
        yield served


@pytest.fixture
def kim(house: PageHouse) -> Iterator[Client]:
    client = Client(house)
    yield client
    client.http.close()


def link_of(kim: Client) -> str:
    made = kim.post("/api/cases/lab.C7F3K2/patient-link", {})
    assert made.status_code == 200, made.text
    return f"{kim.house.url}{made.json()['link']}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.timeout(240)
@pytest.mark.parametrize("dark", [False, True])
def test_a_patient_opens_a_link_reads_and_can_save_the_copy_and_a_second_time_is_told(
    house: PageHouse, kim: Client, browser: Browser, tmp_path: Path, dark: bool
) -> None:
    link = link_of(kim)
    browser.look_like(*PHONE, dark=dark, touch=True)
    browser.complaints.clear()
    browser.go("about:blank")
    browser.go(link)
    browser.until("document.getElementById('open')?.disabled === false", 40)
    assert "It opens once" in browser.run("document.body.innerText")
    browser.run("document.getElementById('open').click()")
    browser.until("document.getElementById('copy').dataset.ready === 'yes'", 40)
    words = browser.run("document.body.innerText")
    for said in (
        "Research use only",
        "chronic myeloid leukemia",
        "Signed by kim",
        "ask your doctor",
    ):
        assert said in words
    assert browser.run("location.href").endswith("/patient")  # the secret is gone from the bar
    assert browser.run("document.documentElement.scrollWidth") <= PHONE[0]
    assert browser.run(CONTRAST) == []
    browser.picture(tmp_path / f"patient-{dark}.png")
    saved = tmp_path / "saved"
    browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(saved))
    browser.run("document.querySelector('#copy button').click()")
    deadline = time.monotonic() + 40
    while not list(saved.glob("*.pdf")):
        assert time.monotonic() < deadline, "the copy was not saved"
        browser.run("new Promise((done) => setTimeout(done, 50))")
    (copy,) = saved.glob("*.pdf")
    assert "chronic myeloid leukemia" in pdf_words(copy.read_bytes())
    assert browser.complaints == []
    browser.go("about:blank")
    browser.go(link)
    browser.until("document.getElementById('open')?.disabled === false", 40)
    browser.run("document.getElementById('open').click()")
    browser.until("document.body.innerText.includes('was opened before')", 40)
    assert "leukemia" not in browser.run("document.body.innerText")
    browser.go("about:blank")


def test_a_look_at_the_address_alone_uses_no_link_up(house: PageHouse, kim: Client) -> None:
    link = link_of(kim)
    with httpx.Client(timeout=20) as messenger:
        assert messenger.get(link).status_code == 200
        assert messenger.head(link).status_code == 200
    patient = Client(house, None)
    opened = patient.post("/patient", {"link": link.split("#")[1]}, x_hemowire_token="")
    patient.http.close()
    assert opened.status_code == 200
    assert opened.json()["signed"].startswith("Signed by kim")
    assert "set-cookie" not in opened.headers
    assert opened.headers["cache-control"] == "no-store"


def test_a_link_is_no_way_to_anything_else(house: PageHouse) -> None:
    patient = Client(house, None)
    try:
        assert patient.get("/api/worklist").status_code == 401
        assert patient.post("/api/cases/lab.C7F3K2/patient-link", {}).status_code == 401
        for body in ({"link": "x" * 43}, {"link": "../../etc/passwd"}, {"link": "' OR 1=1 --"}):
            refused = patient.post("/patient", body)
            assert refused.status_code == 410
            assert "not known here" in refused.json()["error"]
        assert patient.post("/patient", {"link": ""}).status_code == 400
        assert patient.post("/patient", {}).status_code == 400
        wrong = patient.post("/patient", {"link": "x"}, origin="https://elsewhere.example")
        assert wrong.status_code == 403
    finally:
        patient.http.close()


def test_only_a_reader_makes_links_and_of_signed_cases_alone(house: PageHouse, kim: Client) -> None:
    unsigned = kim.post("/api/cases/lab.D7F3K2/patient-link", {})
    assert (unsigned.status_code, "nobody has signed it" in unsigned.text) == (409, True)
    assert kim.post("/api/cases/lab.NOPE01/patient-link", {}).status_code == 404
    assert kim.post("/api/cases/..%2f..%2fx/patient-link", {}).status_code == 404
    assert (
        kim.post("/api/cases/lab.C7F3K2/patient-link", {}, x_hemowire_token="x").status_code == 403
    )
    operator = Client(house, Actor("olga", Role.LAB_OPERATOR))
    assert operator.post("/api/cases/lab.C7F3K2/patient-link", {}).status_code == 403
    operator.http.close()
