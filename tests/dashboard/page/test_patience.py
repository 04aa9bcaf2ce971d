"""A server that is slow, failing or away for a moment is no dead end: what is missing is asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from dashboard.accounts.roles import Actor
from dashboard.review.looking import NoSuchCaseError
from dashboard.review.views import CaseDetail
from dashboard.store import StoreAway
from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import KIM, PHONE, PageHouse, Reader, page_house

#: Longer than the service worker waits before it gives out what it kept.
SLOW_S = 6.0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, browser: Browser) -> Iterator[PageHouse]:
    with page_house(tmp_path) as served:
        served.field("C7F3K2", "aml")
        served.field("H26-0413", "cll")
        yield served
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")


@dataclass
class Hindered:
    """Stands before a desk's `case`: waits, or fails, as long as it is told to."""

    house: PageHouse
    fails: Exception | None = None
    wait_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def case(self, key: str, actor: Actor, **options: Any) -> CaseDetail:
        self.asked.append(key)
        Event().wait(self.wait_s)
        if self.fails is not None:
            raise self.fails
        return type(self.house.desk).case(self.house.desk, key, actor, **options)


@pytest.fixture
def hindered(house: PageHouse, monkeypatch: pytest.MonkeyPatch) -> Hindered:
    found = Hindered(house)
    monkeypatch.setattr(house.desk, "case", found.case)
    return found


def test_a_first_answer_that_takes_six_seconds_is_waited_for(
    house: PageHouse, hindered: Hindered, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    browser.until("navigator.serviceWorker.controller !== null", 20)
    hindered.wait_s = SLOW_S
    reader.open("C7F3K2")
    assert hindered.asked == ["lab.C7F3K2"]
    hindered.wait_s = 0.0
    browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 1", 20)


def test_what_was_kept_is_shown_while_the_server_is_slow_and_then_its_answer(
    house: PageHouse, hindered: Hindered, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    browser.until("navigator.serviceWorker.controller !== null", 20)
    reader.open("C7F3K2")
    hindered.wait_s = SLOW_S
    browser.go(f"{house.url}/case/lab.C7F3K2")
    browser.until(
        "document.querySelector('.confirm small')?.textContent === 'not while offline'", 20
    )
    hindered.wait_s = 0.0
    browser.until("document.querySelector('.confirm')?.disabled === false", 30)


@pytest.mark.parametrize("is_away", [True, False])
def test_a_case_that_could_not_be_loaded_comes_by_itself_or_is_asked_for_again(
    house: PageHouse, hindered: Hindered, browser: Browser, is_away: bool
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    hindered.fails = StoreAway("locked") if is_away else NoSuchCaseError("no case of that name")
    browser.until("document.querySelectorAll('.row').length === 2")
    browser.run("document.querySelector('.row').click()")
    browser.until("document.querySelector('.failed button.first')?.textContent === 'Try again'", 20)
    assert ("goes on asking" in reader.text(".failed")) is is_away
    hindered.fails = None
    if not is_away:
        reader.press("Try again")
    browser.until("document.querySelector('.case-id')?.textContent === 'C7F3K2'", 30)


def test_a_crop_that_could_not_be_loaded_comes_when_the_server_is_heard(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    archive = house.archive.rename(house.archive.with_name("away"))
    reader.open("C7F3K2")
    browser.until("document.querySelectorAll('.crop[data-failed]').length >= 1", 20)
    assert browser.run("document.querySelector('.confirm').disabled") is True
    archive.rename(house.archive)
    browser.until("document.querySelector('.confirm').disabled === false", 30)
    browser.until("document.querySelectorAll('.crop[data-failed]').length === 0", 20)


def test_a_page_that_was_opened_without_a_server_comes_to_life_with_it(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    browser.until("navigator.serviceWorker.controller !== null", 20)
    browser.go(house.url)
    reader.open("C7F3K2")
    port = int(house.url.rpartition(":")[2])
    house.stop()
    browser.go(f"{house.url}/case/lab.C7F3K2")
    browser.until("document.getElementById('notice').textContent.includes('kept here at')", 20)
    object.__setattr__(house.settings.page, "port", port)
    house.start()
    house.field("N1EW", "all")
    browser.until("document.body.dataset.life === 'alive'", 30)
    browser.until("document.getElementById('notice').hidden", 30)
    browser.until("document.querySelectorAll('.row').length === 3", 30)
    browser.until("document.querySelector('.confirm')?.disabled === false", 30)


def test_a_page_of_which_a_part_could_not_be_loaded_begins_again(
    house: PageHouse, browser: Browser
) -> None:
    browser.look_like(*PHONE, touch=True)
    browser.send("Network.enable")
    browser.send("Network.setBlockedURLs", urls=["*/viewer.js"])
    browser.go(f"{house.url}/enter#{house.door.new_link(KIM)}")
    browser.until("location.pathname === '/' && document.readyState === 'complete'", 30)
    assert browser.run("document.querySelectorAll('.row').length") == 0
    browser.send("Network.setBlockedURLs", urls=[])
    browser.until("document.querySelectorAll('.row').length === 2", 30)
