"""How the AI is doing, and the lab's queue, in a real browser: figures that are the store's, each role its own part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.accounts.roles import Actor, Role
from dashboard.review.machine import Opinion
from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import (
    DESK_SIZE,
    KIM,
    PHONE,
    PageHouse,
    Reader,
    page_house,
)
from tests.dashboard.page.smears import smear
from wire_protocol.case_messages import Finding

CONTRAST = (Path(__file__).parents[2] / "contrast.js").read_text()
BLIND = replace(KIM, reads_before_ai=True)
RETAKE = {"urgency": "retake", "urgency_rank": 5, "result": "cannot_say", "reason": "focus",
          "outcome": "rejected", "text": "Cannot say: focus 4.1, at least 12 needed."}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, browser: Browser) -> Iterator[PageHouse]:
    with page_house(tmp_path, undo_s=0) as served:
        yield served
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")


def sign(house: PageHouse, case_id: str, finding: Finding, actor: Actor) -> None:
    """Looks, answers, and has it signed."""
    seen = house.desk.case(f"lab.{case_id}", actor)
    version = seen.summary.version
    house.desk.sign(f"lab.{case_id}", Opinion(finding), by=actor, expected_version=version)
    house.desk.settle()


def lines_of(reader: Reader, name: str) -> list[str]:
    """The words beside the two drawings of one row: readers who had not seen the AI's answer first."""
    found = reader.browser.run(
        "[...[...document.querySelectorAll('.figure-row')].find((row) =>"
        f" row.querySelector('h4').textContent === {name!r}).querySelectorAll('.figure-words')]"
        ".map((one) => one.textContent)"
    )
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (DESK_SIZE, True)])
def test_agreement_stands_apart_for_readers_who_had_seen_the_ais_answer(
    house: PageHouse, browser: Browser, size: tuple[int, int], dark: bool
) -> None:
    for number in range(4):
        house.record(case_id=f"S{number:03}", ood_percentile=20.0 + number)
    sign(house, "S000", Finding.AML, KIM)
    sign(house, "S001", Finding.ALL, KIM)
    sign(house, "S002", Finding.AML, BLIND)
    reader = Reader(browser, house)
    reader.come_in(size, dark=dark)
    browser.run("document.getElementById('menu').click()")
    reader.press("How the AI is doing")
    browser.until("document.querySelectorAll('.figures section').length === 3", 20)
    assert browser.run("location.pathname") == "/figures"
    assert lines_of(reader, "All findings") == [
        "1 of 1 (21 % to >99 %)",
        "1 of 2 (9 % to 91 %)",
    ]
    assert lines_of(reader, "ALL") == ["no case", "0 of 1 (<1 % to 79 %)"]
    days = browser.run("document.querySelectorAll('.figures section')[1].textContent")
    assert "0 of 4 fields were refused" in days and "20" in days
    waits = browser.run("document.querySelectorAll('.figures section')[2].textContent")
    assert "1 not opened yet" in waits and "(3 cases)" in waits
    assert "100 %" not in reader.text(".figures")
    assert browser.run(CONTRAST) == []
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    browser.run("history.back()")
    browser.until("!document.querySelector('.figures')")
    assert browser.complaints == []


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ADMINISTRATOR])
def test_who_sees_no_cases_sees_the_figures_and_can_leave(
    house: PageHouse, browser: Browser, role: Role
) -> None:
    house.field("C7F3K2", "aml")
    browser.look_like(*PHONE, touch=True)
    browser.go(f"{house.url}/enter#{house.door.new_link(Actor('olga', role))}")
    browser.until("document.querySelectorAll('.figures section').length === 3", 30)
    assert browser.run("document.querySelector('.list').offsetParent") is None
    assert "C7F3K2" not in browser.run("document.body.textContent")
    browser.run("document.querySelector('.figures [aria-label=Menu]').click()")
    Reader(browser, house).press("Sign out")
    browser.until("location.pathname === '/login'", 20)


def test_the_lab_operator_sees_why_a_field_is_to_be_taken_again_and_nothing_else(
    house: PageHouse, browser: Browser
) -> None:
    house.field("C7F3K2", "aml")
    sha256 = house.put(smear("aml", 1, 0).jpeg)
    house.record(case_id="R4TK", image_sha256=sha256, **RETAKE)
    browser.look_like(*PHONE, touch=True)
    browser.complaints.clear()
    link = house.door.new_link(Actor("otto", Role.LAB_OPERATOR))
    browser.go(f"{house.url}/enter#{link}")
    browser.until("document.querySelectorAll('.row').length === 1", 30)
    browser.run("document.querySelector('.row').click()")
    browser.until("document.querySelector('.retake-list img')?.naturalWidth > 0", 20)
    reader = Reader(browser, house)
    assert "focus 4.1, at least 12 needed" in reader.text(".retakes")
    assert browser.run("document.querySelectorAll('.retake-list li').length") == 1
    assert "ACUTE" not in browser.run("document.body.textContent").upper()
    assert browser.run(CONTRAST) == []
    browser.run("document.querySelector('.retakes .back').click()")
    browser.until("document.body.dataset.view === 'list'")
    assert browser.complaints == []


def test_a_page_that_is_opened_again_and_again_keeps_no_connection_behind(
    house: PageHouse, browser: Browser
) -> None:
    house.field("C7F3K2", "aml")
    reader = Reader(browser, house)
    reader.come_in(DESK_SIZE)
    for turn in range(10):  # a browser has six connections for one server
        browser.go(f"{house.url}/?turn={turn}")
        browser.until("document.body.dataset.life === 'alive'", 20)
