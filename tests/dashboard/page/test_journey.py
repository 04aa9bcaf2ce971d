"""What a hematologist does at the page, in a real browser over a real store: look, sign, take back, amend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import (
    DESK_SIZE,
    KIM,
    PHONE,
    TABLET,
    PageHouse,
    Reader,
    page_house,
)

SIZES = {"phone": PHONE, "tablet": TABLET, "desk": DESK_SIZE}
CONTRAST = (Path(__file__).parents[2] / "contrast.js").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, browser: Browser) -> Iterator[PageHouse]:
    with page_house(tmp_path, undo_s=2.0) as served:
        for index in range(2):
            served.field("C7F3K2", "aml", index)
        served.field("H26-0413", "cll")
        served.field("B2K9", "cannot_say")
        yield served
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")


def test_cases_come_most_urgent_first_and_say_so_by_shape_and_word(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    browser.until("document.querySelectorAll('.row').length === 3")
    ids = browser.run("[...document.querySelectorAll('.row-id')].map((one) => one.textContent)")
    words = browser.run("[...document.querySelectorAll('.row-second b')].map((b) => b.textContent)")
    shapes = browser.run(
        "[...document.querySelectorAll('.shape-form path')].map((p) => p.getAttribute('d'))"
    )
    assert ids == ["C7F3K2", "B2K9", "H26-0413"]
    assert words == ["ACUTE SUSPECTED", "CANNOT SAY", "CHRONIC SUSPECTED"]
    assert len(set(shapes)) == 3
    assert browser.complaints == []


def test_a_case_at_360_px_shows_what_matters_on_one_screen(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    reader.open("C7F3K2")
    browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
    places = browser.run(
        "['.research', '.case-head', '.sentence', '.crops-page', '.cells-count', '.actions']"
        ".map((one) => document.querySelector(one).getBoundingClientRect().bottom)"
    )
    sizes = browser.run(
        "[...document.querySelectorAll('.crops-page:first-child .crop')]"
        ".map((one) => [one.offsetWidth, one.offsetHeight])"
    )
    assert max(places) <= PHONE[1]
    assert len(sizes) == 6
    assert min(min(size) for size in sizes) >= 108
    assert browser.run("document.documentElement.scrollWidth") <= PHONE[0]
    assert "Research use only" in reader.text(".research")
    assert (
        browser.run(
            "[...document.querySelectorAll('button')].filter((one) => one.offsetParent &&"
            " (one.offsetHeight < 44 || one.offsetWidth < 44)).map((one) => one.className)"
        )
        == []
    )
    assert browser.complaints == []


def test_nothing_is_confirmed_before_the_cells_were_in_view(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    browser.send("Network.enable")
    browser.send("Network.setBlockedURLs", urls=["*/cell?*", "*/picture"])
    try:
        reader.open("C7F3K2")
        browser.until("document.querySelectorAll('.crop[data-failed]').length >= 6")
        assert browser.run("document.querySelector('.confirm').disabled") is True
        assert "look at the pictures first" in reader.text(".confirm")
    finally:
        browser.send("Network.setBlockedURLs", urls=[])
    reader.come_in()
    reader.open("C7F3K2")
    browser.until("!document.querySelector('.confirm').disabled")


def test_confirming_asks_once_names_case_and_result_and_is_signed_after_the_undo(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    reader.open("C7F3K2")
    reader.press("Confirm")
    browser.until("document.getElementById('dialog').open")
    assert "C7F3K2" in reader.text("#dialog-title")
    assert "AML" in reader.text("#dialog-body")
    reader.press("Sign: AML")
    browser.until("!document.getElementById('toast').hidden")
    assert house.desk.case("lab.C7F3K2", KIM).summary.signed_by == ""
    browser.until("document.querySelector('.signed')?.textContent.includes('AML')", 20)
    assert "not reviewed" not in reader.text("#case")
    signed = house.desk.case("lab.C7F3K2", KIM)
    assert (signed.summary.finding, signed.summary.signed_by) == ("aml", "kim")
    assert signed.review.signatures[0].placed.confirms
    assert signed.review.signatures[0].placed.ai_seen
    browser.until(
        "![...document.querySelectorAll('.row-id')].some((one) => one.textContent === 'C7F3K2')"
    )
    assert browser.complaints == []


def test_what_was_just_signed_can_be_taken_back(house: PageHouse, browser: Browser) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    reader.open("C7F3K2")
    reader.press("Confirm")
    reader.press("Sign: AML")
    reader.press("Undo")
    browser.until("document.getElementById('toast').hidden")
    review = house.desk.case("lab.C7F3K2", KIM).review
    assert review.held is None
    assert review.signatures == ()
    browser.until("!document.querySelector('.confirm').disabled")


def test_a_correction_is_signed_with_subtype_and_comment_and_can_be_amended(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(DESK_SIZE)
    reader.open("H26-0413")
    reader.press("Correct")
    browser.run("document.querySelector('#dialog input[value=all]').click()")
    browser.until("!document.querySelector('.fab').hidden")
    browser.run("document.getElementById('fab').value = 'L2'")
    browser.run("document.getElementById('comment').value = '<img src=x onerror=alert(1)>'")
    reader.press("Sign: ALL")
    browser.until("document.querySelector('.signed')?.textContent.includes('ALL')", 20)
    placed = house.desk.case("lab.H26-0413", KIM).review.signatures[0].placed
    assert (placed.finding, placed.fab, placed.confirms) == ("all", "L2", False)
    assert "<img src=x onerror=alert(1)>" in reader.text(".history")
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    reader.press("Amend")
    browser.run("document.querySelector('#dialog input[value=cll]').click()")
    reader.press("Sign: CLL")
    browser.until("document.querySelector('.signed')?.textContent.includes('CLL')", 20)
    signatures = house.desk.case("lab.H26-0413", KIM).review.signatures
    assert [one.placed.finding for one in signatures] == ["all", "cll"]
    assert browser.complaints == []


def test_new_cases_arrive_without_reloading_and_a_page_that_was_away_misses_none(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    browser.until("document.querySelectorAll('.row').length === 3")
    house.field("N1EW", "all")
    browser.until("document.querySelectorAll('.row').length === 4")
    port = int(house.url.rpartition(":")[2])
    house.stop()
    browser.until("document.body.dataset.life === 'lost'", 20)
    assert "Offline" in reader.text("#notice")
    for number in range(5):
        house.field(f"AWAY{number}", "healthy")
    object.__setattr__(house.settings.page, "port", port)
    house.start()
    browser.until("document.body.dataset.life === 'alive'", 20)
    browser.until("document.querySelectorAll('.row').length === 9")
    keys = browser.run("[...document.querySelectorAll('.row')].map((one) => one.dataset.key)")
    assert len(set(keys)) == 9
    assert browser.run("document.getElementById('notice').hidden") is True


def test_who_reads_before_the_ai_sees_nothing_of_it_until_the_answer_is_stored(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    browser.run("localStorage.setItem('hemowire.read-first', '1')")
    try:
        browser.go(house.url)
        browser.until("document.querySelectorAll('.row').length === 3")
        assert "SUSPECTED" not in reader.text("#rows")
        reader.open("C7F3K2")
        body = browser.run("fetch('/api/cases/lab.C7F3K2?blind=1').then((answer) => answer.text())")
        assert "acute" not in body.lower()
        reader.press("Your answer")
        browser.run("document.querySelector('#dialog input[value=cml]').click()")
        reader.press("Sign: CML")
        browser.until("document.querySelector('.sentence').textContent.includes('acute')", 20)
        browser.until("document.querySelector('.signed')?.textContent.includes('CML')", 20)
        assert not house.desk.case("lab.C7F3K2", KIM).review.signatures[0].placed.ai_seen
    finally:
        browser.run("localStorage.clear()")


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        ("phone", False),
        ("desk", True),
        *(
            pytest.param(*looks, marks=pytest.mark.slow)
            for looks in (("phone", True), ("tablet", False), ("tablet", True), ("desk", False))
        ),
    ],
)
def test_every_text_has_contrast_and_nothing_is_wider_than_the_screen(
    house: PageHouse, browser: Browser, size: str, dark: bool
) -> None:
    reader = Reader(browser, house)
    reader.come_in(SIZES[size], dark=dark)
    browser.until("document.querySelectorAll('.row').length === 3")
    assert browser.run(CONTRAST) == []
    reader.open("C7F3K2")
    browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
    assert browser.run(CONTRAST) == []
    assert browser.run("document.documentElement.scrollWidth") <= SIZES[size][0]
    reader.press("Correct")
    browser.until("document.getElementById('dialog').open")
    assert browser.run(CONTRAST) == []
    assert browser.complaints == []
