"""A hematologist at the page of a running demo, and what the records database says of what was on the screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.chromium import Browser
from tests.system.accounting import rows
from tests.system.demo_run import DemoRun

#: The page's own rules let nothing read a picture back from its address: its bytes are kept here.
_REMEMBER_BLOBS = (
    "window.blobs = new Map(); const make = URL.createObjectURL.bind(URL);"
    " URL.createObjectURL = (blob) => { const url = make(blob); blobs.set(url, blob); return url; }"
)
_LINK = re.compile(r"(https?://\S+/enter#\S+)")


def link_of(run: DemoRun) -> str:
    """The one-time link that the demo printed."""
    run.wait_until(lambda: bool(_LINK.search(run.log.read_text())), 90, "the page's link")
    found = _LINK.search(run.log.read_text())
    assert found is not None
    return found[1]


def come_in(browser: Browser, link: str, size: tuple[int, int]) -> None:
    """Opens the link as a phone or a desk would."""
    browser.look_like(*size, touch=size[0] < 900)
    browser.send("Page.addScriptToEvaluateOnNewDocument", source=_REMEMBER_BLOBS)
    browser.go(link)
    browser.until("location.pathname === '/' && document.body.dataset.life === 'alive'", 40)


def open_first_case(browser: Browser) -> str:
    """Opens the most urgent case; gives its key."""
    browser.until("Boolean(document.querySelector('.row'))", 60)
    browser.run("document.querySelector('.row').click()")
    browser.until("Boolean(document.querySelector('.actions'))", 30)
    return str(browser.run("decodeURIComponent(location.pathname.split('/')[2])"))


def press(browser: Browser, label: str) -> None:
    """A button that can be seen and pressed, by how its words begin."""
    browser.until(
        "(() => { const found = [...document.querySelectorAll('button')].find((one) =>"
        f" one.textContent.trim().startsWith({label!r}) && one.offsetParent && !one.disabled"
        " && (!document.querySelector('dialog[open]') || one.closest('dialog')));"
        " found?.click(); return Boolean(found); })()",
        30,
    )


def digest_on_screen(browser: Browser) -> tuple[str, str]:
    """The image id of the field that is shown, and the sha256 of the very bytes in its <img>."""
    browser.run("document.querySelector('.viewer').scrollIntoView()")
    browser.until("document.querySelector('.field-image')?.naturalWidth > 0", 30)
    found: list[str] = browser.run(
        "(async () => { const image = document.querySelector('.field-image');"
        " const data = await blobs.get(image.src).arrayBuffer();"
        " const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));"
        " return [document.querySelector('.field-image').dataset.sha256,"
        " [...digest].map((one) => one.toString(16).padStart(2, '0')).join('')]; })()"
    )
    return found[0], found[1]


def recorded(folder: Path, query: str) -> list[dict[str, Any]]:
    """Rows of the records database, read beside the running programs."""
    return [dict(row) for row in rows(folder / "records.sqlite", query)]
