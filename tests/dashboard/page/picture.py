"""Draws the picture of the page for docs, from simulated smears: `python -m tests.dashboard.page.picture FILE.jpg`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from cloud_worker.models.bundle import default_bundle
from hemowire.page_models import BundleModels
from service_runtime.log import configure_logging
from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import PHONE, Reader, page_house

#: Each side of a screen has so many dots of a phone.
DOTS: Final = 2
GAP: Final = 24
GROUND: Final = "#d5d7e0"
WORDS: Final = "Synthetic: simulated smears, made-up answers. Research use only, not for diagnosis."


def screens(folder: Path) -> list[Image.Image]:
    """The list, a case, its fields with the map, the question before signing; the last one dark."""
    model = f"{default_bundle().name}/openvino-f32"
    with (
        page_house(folder, models=BundleModels()) as house,
        chromium(folder / "profile") as browser,
    ):
        for index in range(3):
            house.field("C7F3K2", "aml", index, model=model)
        house.field("H26-0413", "cll", 0, model=model)
        house.field("H26-0414", "healthy", 0, model=model)
        house.field("B2K9", "cannot_say", 0, model=model)
        house.reject("R4TK")
        reader = Reader(browser, house)
        reader.come_in(PHONE)
        browser.until("document.querySelectorAll('.row').length === 5")
        shots = [_shot(browser, folder)]
        reader.open("C7F3K2")
        browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
        browser.until("document.querySelector('.confirm')?.disabled === false")
        shots.append(_shot(browser, folder))
        browser.run("document.querySelector('.viewer').scrollIntoView({ block: 'center' })")
        browser.until("document.querySelector('.field-image').naturalWidth > 0")
        reader.press("Map")
        browser.until("!document.querySelector('.field-map').hidden", 60)
        shots.append(_shot(browser, folder))
        reader.come_in(PHONE, dark=True)
        reader.open("H26-0413")
        browser.until("document.querySelectorAll('.crop-image[data-seen]').length >= 6")
        reader.press("Confirm")
        browser.until("document.getElementById('dialog').open")
        shots.append(_shot(browser, folder))
    return shots


def _shot(browser: Browser, folder: Path) -> Image.Image:
    browser.run("new Promise((done) => setTimeout(done, 400))")
    browser.send(
        "Emulation.setDeviceMetricsOverride",
        width=PHONE[0], height=PHONE[1], deviceScaleFactor=DOTS, mobile=True,
    )  # fmt: skip
    browser.run("new Promise((done) => setTimeout(done, 400))")
    browser.picture(folder / "shot.png")
    return Image.open(io.BytesIO((folder / "shot.png").read_bytes())).convert("RGB")


def sheet(shots: list[Image.Image]) -> Image.Image:
    """Side by side, with the words below."""
    width = sum(shot.width for shot in shots) + GAP * (len(shots) + 1)
    height = max(shot.height for shot in shots) + 2 * GAP + 56
    page = Image.new("RGB", (width, height), GROUND)
    left = GAP
    for shot in shots:
        page.paste(shot, (left, GAP))
        left += shot.width + GAP
    font = ImageFont.load_default(40)
    ImageDraw.Draw(page).text((GAP, height - 64), WORDS, fill="#17161f", font=font)
    return page


def main() -> None:
    """Writes the picture."""
    configure_logging("error")
    with tempfile.TemporaryDirectory() as folder:
        page = sheet(screens(Path(folder)))
    page.thumbnail((1700, 1700), Image.Resampling.LANCZOS)
    page.save(sys.argv[1], quality=82, progressive=True, optimize=True)


if __name__ == "__main__":
    main()
