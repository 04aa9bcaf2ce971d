"""The parts of the page: crops of the picture's own pixels, the viewer, the map, keys, and what is there offline.

(Over 250 lines: one page is opened for all of them.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from cloud_worker.models.bundle import default_bundle
from dashboard.accounts.roles import Actor, Role
from hemowire.page_models import BundleModels
from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import DESK_SIZE, PHONE, PageHouse, Reader, page_house
from tests.dashboard.page.smears import smear

PLACE = "document.querySelector('.stage').style.transform"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, browser: Browser) -> Iterator[PageHouse]:
    model = f"{default_bundle().name}/openvino-f32"
    with page_house(tmp_path, models=BundleModels()) as served:
        for index in range(2):
            served.image_id = served.field("C7F3K2", "aml", index, model=model)
        served.field("N0BOX", "cll", white_cell_boxes=None, white_cells=None)
        yield served
        browser.go("about:blank")
        browser.until("location.href === 'about:blank'")


def test_a_crop_is_the_pictures_own_pixels(house: PageHouse) -> None:
    with httpx.Client(base_url=house.url, cookies={"hemowire": house.session()}) as http:
        case = http.get("/api/cases/lab.C7F3K2").json()
        cell = case["cells"][0]
        place = {name: cell[name] for name in ("x", "y", "side")}
        crop = http.get(f"/api/fields/{cell['image_id']}/cell", params=place).content
        whole = http.get(f"/api/fields/{cell['image_id']}/picture").content
    pixels = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    shown = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None and shown is not None
    x, y, side = place.values()
    assert np.array_equal(shown, pixels[y : y + side, x : x + side])
    assert cell["bar_um"] == pytest.approx(cell["bar_share"] * side * 0.2, rel=1e-3)


def test_every_counted_cell_can_be_swiped_to(house: PageHouse, browser: Browser) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    reader.open("C7F3K2")
    counted = sum(len(smear("aml", seed, index).boxes) for seed, index in ((1, 0), (2, 1)))
    assert browser.run("document.querySelectorAll('.crop').length") == counted
    assert f"{counted} white cells in 2 fields" in reader.text(".cells-count")
    browser.run("document.querySelector('.crops-track').scrollTo(9999, 0)")
    browser.until(f"document.querySelector('.crops-where').textContent.includes('{counted} of')")
    browser.until(
        "[...document.querySelectorAll('.crops-page:last-child img')].every((one) =>"
        " one.naturalWidth > 0)"
    )


def test_without_boxes_the_page_says_so_and_shows_the_field(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    reader.open("N0BOX")
    assert "not marked" in reader.text(".no-cells")
    browser.until("document.querySelector('.field-image').naturalWidth > 0")
    browser.run("document.querySelector('.viewer').scrollIntoView()")
    browser.until("!document.querySelector('.confirm').disabled")
    assert browser.run("document.querySelector('.field-image').dataset.checked") == (
        "the recorded one"
    )


def test_a_field_is_zoomed_by_two_taps_by_pinching_and_by_keys(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    reader.open("N0BOX")
    browser.until("document.querySelector('.field-image').naturalWidth > 0")
    browser.run("document.querySelector('.viewer').scrollIntoView({ block: 'center' })")
    x, y, width = browser.run(
        "(({ left, top, width }) => [left, top, width])"
        "(document.querySelector('.viewer').getBoundingClientRect())"
    )
    whole = browser.run(PLACE)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x + px, "y": y + py, "id": n} for n, (px, py) in enumerate(points)]
        browser.send("Input.dispatchTouchEvent", type=kind, touchPoints=at)

    for _ in range(2):
        touch("touchStart", (100, 80))
        touch("touchEnd")
    browser.until("document.querySelector('.viewer').dataset.zoomed === 'yes'")
    assert "scale(4)" in browser.run(PLACE)
    touch("touchStart", (200, 100))
    touch("touchMove", (150, 100))
    touch("touchEnd")
    browser.until(f"{PLACE}.includes('scale(4)')")
    browser.run("document.querySelector('.viewer').focus()")
    browser.press("0", "Digit0", 48, "0")
    browser.until(f"{PLACE} === {whole!r}")
    touch("touchStart", (width / 2 - 20, 90), (width / 2 + 20, 90))
    touch("touchMove", (width / 2 - 80, 90), (width / 2 + 80, 90))
    touch("touchEnd")
    browser.until("document.querySelector('.viewer').dataset.zoomed === 'yes'")
    browser.press("0", "Digit0", 48, "0")
    browser.press("+", "Equal", 187, "+")
    browser.until(f"{PLACE}.includes('scale(1.5)')")
    assert browser.complaints == []


def test_the_map_is_off_until_it_is_asked_for_and_made_by_the_bundle_that_was_named(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in(DESK_SIZE)
    reader.open("C7F3K2")
    browser.until("document.querySelector('.field-image').naturalWidth > 0")
    assert browser.run("document.querySelector('.field-map').hidden") is True
    reader.press("Map")
    browser.until("!document.querySelector('.field-map').hidden", 50)
    assert "does not show that the score is right" in reader.text(".map-note")
    assert browser.run("document.querySelector('.field-map').naturalWidth") > 100
    assert "densenet121" in reader.text(".model-name")
    assert "Limits of use" in reader.text(".model")
    reader.press("Map")
    browser.until("document.querySelector('.field-map').hidden")
    assert browser.complaints == []


def test_a_case_is_read_and_signed_by_keys_alone(house: PageHouse, browser: Browser) -> None:
    reader = Reader(browser, house)
    reader.come_in(DESK_SIZE)
    browser.until("document.querySelectorAll('.row').length === 2")
    browser.press("j", "KeyJ", 74, "j")
    browser.until("document.querySelector('.case-id')?.textContent === 'C7F3K2'")
    browser.until("document.querySelector('.confirm')?.disabled === false")
    browser.press("c", "KeyC", 67, "c")
    browser.until("document.getElementById('dialog').open")
    browser.until("document.activeElement.textContent.startsWith('Sign: AML')")
    browser.press("Enter", "Enter", 13, "\r")
    browser.until("!document.getElementById('toast').hidden")


def test_offline_it_shows_what_it_has_and_says_so(house: PageHouse, browser: Browser) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    browser.until("navigator.serviceWorker.controller !== null", 20)
    browser.go(house.url)
    browser.until("document.querySelectorAll('.row').length === 2")
    reader.open("C7F3K2")
    browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
    house.stop()
    browser.go(f"{house.url}/case/lab.C7F3K2")
    browser.until("document.querySelector('.case-id')?.textContent === 'C7F3K2'", 40)
    browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
    browser.until("document.getElementById('notice').textContent.includes('kept here at')")
    assert browser.run("document.querySelector('.confirm').disabled") is True
    assert "offline" in reader.text(".confirm")


def test_a_clock_that_is_wrong_makes_no_age_wrong(house: PageHouse, browser: Browser) -> None:
    reader = Reader(browser, house)
    wrong = browser.send(
        "Page.addScriptToEvaluateOnNewDocument",
        source="const now = Date.now; Date.now = () => now() - 86400e3 * 400;",
    )
    try:
        reader.come_in()
        browser.until("document.querySelectorAll('.row').length === 2")
        ages = browser.run("[...document.querySelectorAll('.row-age')].map((o) => o.textContent)")
    finally:
        browser.send("Page.removeScriptToEvaluateOnNewDocument", identifier=wrong["identifier"])
    assert all(age.endswith((" s", " min")) for age in ages), ages


def test_a_preview_says_that_its_picture_is_on_its_way_and_is_not_signed(
    house: PageHouse, browser: Browser
) -> None:
    reader = Reader(browser, house)
    reader.come_in()
    house.field("P7RE", "all", status="preview")
    browser.until("document.querySelectorAll('.row').length === 3")
    reader.open("P7RE")
    assert "on its way" in reader.text(".no-cells")
    assert browser.run("document.querySelector('.confirm').disabled") is True
    assert "when the picture is here" in reader.text(".confirm")
    assert "preview of 1 field" in reader.text(".cells-count")
    assert browser.complaints == []


#: The service worker's own text, run where its events can be given by hand: a browser without a
#: screen shows no notifications.
AS_WORKER = """
(() => {
  const heard = {}, shown = [];
  const registration = { showNotification: async (title, more) => shown.push([title, more.body, more.tag]) };
  const self = { addEventListener: (name, hear) => { heard[name] = hear; }, registration };
  SOURCE
  for (const text of TEXTS) heard.push({ data: { json: () => JSON.parse(text) }, waitUntil: () => {} });
  return shown;
})()
"""


def test_a_push_says_that_a_case_is_urgent_and_not_which(
    house: PageHouse, browser: Browser
) -> None:
    source = httpx.get(f"{house.url}/sw.js").text
    texts = ['{"id": "0123456789abcdef", "why": "unread", "count": 2}', '{"why": "emergency"}', "?"]
    script = AS_WORKER.replace("SOURCE", source).replace("TEXTS", json.dumps(texts))
    browser.go("about:blank")
    shown = browser.run(script)
    assert shown == [
        [
            "Urgent case, still unread",
            "2 cases. Open the list to see it. Research use only.",
            "0123456789abcdef",
        ],
        ["Emergency", "Open the list to see it. Research use only.", "urgent"],
        ["Urgent case", "Open the list to see it. Research use only.", "urgent"],
    ]


def test_a_lab_operator_sees_only_what_is_to_be_taken_again(
    house: PageHouse, browser: Browser
) -> None:
    house.reject("R4TK")
    browser.look_like(*PHONE, touch=True)
    browser.complaints.clear()
    browser.go(f"{house.url}/enter#{house.door.new_link(Actor('olga', Role.LAB_OPERATOR))}")
    browser.until("location.pathname === '/'", 20)
    browser.until("document.querySelector('.panes').innerText.includes('TAKE AGAIN')", 20)
    assert browser.run("document.querySelectorAll('.row').length") == 1
    assert browser.run("document.getElementById('notice').hidden") is True
    text = browser.run("document.body.innerText")
    assert "ACUTE" not in text and "C7F3K2" not in text
