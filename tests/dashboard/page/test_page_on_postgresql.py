"""The page over a real PostgreSQL: what a reader does there from the first case to the figures, and its audit book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.audit.book import verify
from tests.chromium import chromium
from tests.dashboard.page.page_house import KIM, PHONE, PageHouse, Reader, page_house
from tests.dashboard.postgresql import started_postgresql


@pytest.fixture
def house(tmp_path: Path) -> Iterator[PageHouse]:
    with (
        started_postgresql() as url,
        page_house(tmp_path, undo_s=1.0, database_url=url) as served,
    ):
        served.field("C7F3K2", "aml")
        yield served


def test_cases_come_live_are_signed_amended_and_counted(house: PageHouse, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        reader = Reader(browser, house)
        reader.come_in(PHONE)
        browser.until("document.querySelectorAll('.row').length === 1", 20)
        house.field("N1EW", "cll")
        house.reject("R4TK")
        browser.until("document.querySelectorAll('.row').length === 3", 20)
        reader.open("C7F3K2")
        reader.press("Confirm")
        reader.press("Sign: AML")
        browser.until("document.querySelector('.signed')?.textContent.includes('AML')", 20)
        reader.press("Amend")
        browser.run("document.querySelector('#dialog input[value=apl]').click()")
        reader.press("Sign: APL")
        browser.until("document.querySelector('.signed')?.textContent.includes('APL')", 20)
        browser.go(f"{house.url}/figures")
        browser.until("document.querySelectorAll('.figures section').length === 3", 20)
        assert "1 of 1" in reader.text(".figures")
        assert browser.complaints == []
    case = house.desk.case("lab.C7F3K2", KIM)
    assert [one.placed.finding for one in case.review.signatures] == ["aml", "apl"]
    assert (case.summary.status, case.summary.rank) == ("amended", 0)
    head, problem = verify(house.settings.database_url, b"k" * 32)
    assert problem is None and head is not None and head.number >= 4
