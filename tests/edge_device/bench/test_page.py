"""The page in a real browser: what a person at the microscope sees, and what his hands do.

Longer than most: all of it needs one browser on one page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from edge_device.bench.local_client import LocalAnswer
from edge_device.bench.settings import BenchSettings
from edge_device.bench.state import BenchState, CaseShown, LinkShown
from tests.chromium import Browser, chromium
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from tests.edge_device.bench.pretend_bench import (
    capture,
    image_id,
    jpeg_of_a_field,
    pretended,
    refused,
)
from wire_protocol.machine_io import OutboxState

SCREENS = {"touch": (800, 480, True), "phone": (390, 844, True), "desk": (1280, 800, False)}
GOOD = pretended()
REFUSED = GOOD.model_copy(update={"captures": (refused(12), *GOOD.captures[2:])})
UNFILED = GOOD.model_copy(update={"case": CaseShown()})
#: The longest id and the widest words beside it.
LONGEST = GOOD.model_copy(
    update={
        "case": CaseShown(
            case_id="WWWW-WWWW-WWWW-9", fields=1888, opened_s_ago=9, closes_in_s=1799
        ),
        "halted": "outbox full: 20000 images wait, at most 20000",
    }
)


HIDDEN = (
    "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    " document.dispatchEvent(new Event('visibilitychange'))"
)


class Scene:
    """A served bench, in a thread of its own, and a browser that looks at it."""

    def __init__(self, browser: Browser, data_dir: Path) -> None:
        self.browser = browser
        self.bench = BenchForTests(shown=GOOD, preview=jpeg_of_a_field())
        self.bench.pictures = {image_id(n): jpeg_of_a_field() for n in range(3, 14)}
        self._data_dir = data_dir
        self._is_ready, self._loop = Event(), asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._is_ready.wait(20)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with served(self.bench, self._data_dir, BenchSettings(port=0)) as server:
            self.url = server.url
            self._is_ready.set()
            await self._stop.wait()

    def end(self) -> None:
        """Stops the agent; the browser stays."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        if not self._loop.is_running():
            self._loop.close()

    def show(self, state: BenchState) -> None:
        self._loop.call_soon_threadsafe(lambda: self.bench.show(**dict(state)))

    def open(self, state: BenchState = GOOD, screen: str = "touch", *, dark: bool = False) -> None:
        """Loads the page as an operator who said his name before."""
        width, height, touch = SCREENS[screen]
        self.browser.look_like(width, height, dark=dark, touch=touch)
        self.bench.shown = state
        self.browser.complaints.clear()
        self.browser.go(f"{self.url}login")
        self.browser.until("location.pathname === '/login' && document.readyState === 'complete'")
        self.browser.run("localStorage.setItem('hemowire.operator', 'kim')")
        self.browser.go(self.url)
        self.browser.until("document.body.dataset.life === 'alive'")

    def text(self, element: str) -> str:
        return str(self.browser.run(f"document.getElementById('{element}').innerText"))

    def click(self, element: str) -> None:
        self.browser.run(f"document.getElementById('{element}').click()")

    def press(self, label: str) -> None:
        """A button of the open question."""
        self.browser.until(
            "[...document.querySelectorAll('#dialog[open] button')]"
            f".find((one) => one.textContent.startsWith('{label}'))?.click() ?? true"
        )

    def done(self) -> list[tuple[str, dict[str, Any], str]]:
        """What the agent was told, as soon as it was told anything."""
        self.browser.until("!document.getElementById('dialog').open")
        self.wait(lambda: bool(self.bench.done))
        return self.bench.done

    def wait(self, is_true: Callable[[], bool]) -> None:
        """Lets the page go on until something is true here."""
        deadline = self._loop.time() + 10
        while not is_true():
            assert self._loop.time() < deadline, self.browser.complaints
            self.browser.run("new Promise((done) => setTimeout(done, 20))")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def scene(browser: Browser, tmp_path: Path) -> Iterator[Scene]:
    opened = Scene(browser, tmp_path)
    yield opened
    browser.go("about:blank")  # or the page would go on asking for an agent that is gone
    browser.until("location.href === 'about:blank'")
    opened.end()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(
    "state", [GOOD, REFUSED, UNFILED, LONGEST], ids=["good", "refused", "unfiled", "longest"]
)
def test_the_case_is_the_largest_thing_and_all_fits(
    scene: Scene, screen: str, state: BenchState
) -> None:
    scene.open(state, screen)
    scene.browser.until("document.querySelectorAll('.thumb img[src]').length > 3")
    sizes = scene.browser.run(
        "[...document.querySelectorAll('.screen *')].filter((one) => one.offsetParent &&"
        " [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))"
        ".map((one) => [parseFloat(getComputedStyle(one).fontSize), one.id])"
    )
    small = scene.browser.run(
        "[...document.querySelectorAll('button, label.stat, input[type=text]')]"
        ".filter((one) => one.offsetParent && (one.offsetHeight < 44 || one.offsetWidth < 44))"
        ".map((one) => one.id || one.className)"
    )
    assert max(sizes)[1] == "case-id"
    assert small == []
    assert scene.browser.run("document.documentElement.scrollWidth") <= SCREENS[screen][0]
    assert scene.browser.complaints == []
    if screen == "touch":  # all that a glance needs stands on one screen full
        bottoms = scene.browser.run(
            "['research', 'case-id', 'focus-word', 'verdict-word', 'capture', 'stat', 'pause']"
            ".map((id) => document.getElementById(id).getBoundingClientRect().bottom)"
        )
        assert max(bottoms) <= 480


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("state", [GOOD, REFUSED, UNFILED], ids=["good", "refused", "unfiled"])
def test_every_text_has_contrast(scene: Scene, dark: bool, state: BenchState) -> None:
    halted = state.model_copy(update={"halted": "outbox full", "paused": False})
    scene.open(halted, "desk", dark=dark)
    script = (Path(__file__).parents[2] / "contrast.js").read_text()
    assert scene.browser.run(script) == []


def test_no_open_case_is_said_loudly(scene: Scene) -> None:
    scene.open(UNFILED)
    assert scene.text("case-id") == "UNFILED"
    assert "NO CASE OPEN" in scene.text("case-word").upper()
    scene.show(GOOD)
    scene.browser.until("document.getElementById('case-id').innerText === 'H26-0413'")


def test_the_space_key_captures_once_and_stat_is_told(scene: Scene) -> None:
    scene.open()
    scene.click("stat")
    scene.browser.run("document.activeElement.blur()")
    scene.browser.press(" ", "Space", 32, " ")
    assert scene.done() == [("capture", {"stat": True}, "kim")]
    scene.browser.until("!document.getElementById('capture').disabled")
    scene.browser.press(" ", "Space", 32, " ")
    scene.browser.until("!document.getElementById('capture').disabled")
    assert len(scene.bench.done) == 2


def test_stat_ends_with_its_case(scene: Scene) -> None:
    scene.open()
    scene.click("stat")
    scene.show(GOOD.model_copy(update={"case": CaseShown(case_id="H26-0414")}))
    scene.browser.until("document.getElementById('case-id').innerText === 'H26-0414'")
    assert scene.browser.run("document.getElementById('stat').checked") is False


def test_nobody_acts_without_a_name(scene: Scene) -> None:
    scene.open()
    scene.browser.run("localStorage.clear()")
    scene.click("capture")
    scene.browser.until("document.getElementById('dialog').open")
    scene.browser.run("document.getElementById('dialog-input').value = 'Kim Lee'")
    scene.press("That is me")
    scene.browser.until("!document.getElementById('dialog-error').hidden")
    assert scene.bench.done == []
    scene.browser.run("document.getElementById('dialog-input').value = 'k.lee'")
    scene.press("That is me")
    assert scene.done() == [("capture", {"stat": False}, "k.lee")]


def test_a_refused_picture_says_why_and_is_sent_with_a_reason(scene: Scene) -> None:
    scene.open(REFUSED)
    assert scene.text("verdict-word") == "Not sent"
    assert scene.text("verdict-text").endswith("Refocus and take again.")
    scene.click("verdict-more")
    scene.press("Send anyway")
    scene.browser.until("document.querySelectorAll('.choices input').length === 5")
    scene.press("Send anyway")
    scene.browser.until("document.getElementById('dialog-error').innerText === 'Choose a reason.'")
    scene.browser.run("document.querySelector('.choices input[value=rare_finding]').click()")
    scene.press("Send anyway")
    wanted = {"image_id": image_id(12), "reason": "rare_finding"}
    assert scene.done() == [("send_anyway", wanted, "kim")]


def test_a_field_moves_to_a_case_that_can_be_one(scene: Scene) -> None:
    scene.open(REFUSED)
    scene.browser.run("document.querySelector('.thumb').click()")
    scene.press("Move to case")
    scene.browser.until("document.getElementById('dialog-title').innerText.startsWith('Move')")
    for typed in ("JOHN", "h26-0414"):
        scene.browser.run(
            f"(() => {{ const input = document.getElementById('dialog-input');"
            f" input.value = '{typed}'; input.dispatchEvent(new Event('input')); }})()"
        )
        scene.press("Move")
        if typed == "JOHN":
            scene.browser.until("document.getElementById('dialog-error').innerText.length > 9")
            assert scene.bench.done == []
    wanted = {"image_id": image_id(12), "case_id": "H26-0414"}
    assert scene.done() == [("move_field", wanted, "kim")]


def test_what_cannot_be_taken_back_is_asked_first(scene: Scene) -> None:
    scene.open()
    scene.click("restart")
    scene.browser.until("document.getElementById('dialog').open")
    scene.press("Cancel")
    scene.browser.until("!document.getElementById('dialog').open")
    scene.click("restart")
    scene.press("Restart")
    assert scene.done() == [("restart", {}, "kim")]


def test_captures_that_a_person_calls_good_or_bad_teach_the_gate(scene: Scene) -> None:
    scene.open()
    scene.click("calibrate")
    scene.browser.until("document.querySelectorAll('.tiles .thumb').length >= 6")
    scene.press("Learn limits")
    scene.browser.until(
        "document.getElementById('dialog-error').innerText === "
        "'0 called good, 0 called bad: at least 3 of each needed.'"
    )
    scene.browser.run(
        "[...document.querySelectorAll('.tiles .thumb')].slice(0, 6)"
        ".forEach((tile, n) => { tile.click(); if (n > 2) tile.click(); })"
    )
    ids = [shown.image_id for shown in GOOD.captures if shown.has_picture]
    scene.press("Learn limits")
    [done] = scene.done()
    wanted = {"good": ",".join(ids[:3]), "bad": ",".join(ids[3:6])}
    assert done == ("calibrate", wanted, "kim")


def test_an_agents_error_is_shown_where_the_eyes_are(scene: Scene) -> None:
    scene.bench.answer = LocalAnswer(False, error="the camera gave nothing")
    scene.open()
    scene.click("capture")
    scene.browser.until("document.getElementById('answer').innerText === 'the camera gave nothing'")


def test_an_agent_that_is_gone_leaves_nothing_that_looks_current(scene: Scene) -> None:
    scene.open()
    scene.end()
    scene.browser.until("document.body.dataset.life === 'lost'")
    assert "does not answer" in scene.text("alarm")
    assert scene.browser.run("document.getElementById('capture').disabled") is True


def test_what_is_wrong_stands_on_top_the_worst_first(scene: Scene) -> None:
    offline = LinkShown(state="offline", words="no route")
    scene.open(GOOD.model_copy(update={"link": offline, "halted": "outbox full: 9 wait"}))
    assert "outbox full: 9 wait" in scene.text("alarm")
    assert "+1 more" in scene.text("alarm")


def test_words_of_the_device_are_never_markup(scene: Scene) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    shot = capture(13, OutboxState.REJECTED, verdict=evil, warnings=(evil,))
    scene.open(GOOD.model_copy(update={"captures": (shot,), "halted": evil}))
    scene.browser.run("document.querySelector('.thumb').click()")
    scene.browser.until("document.getElementById('dialog').open")
    assert scene.browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert evil in scene.text("alarm")


def test_nobody_looks_no_preview_is_taken(scene: Scene) -> None:
    scene.open()
    scene.browser.until("!document.getElementById('preview').hidden")
    scene.browser.run(HIDDEN % "true")
    scene.browser.run("new Promise((done) => setTimeout(done, 400))")
    taken = scene.bench.previews_taken
    scene.browser.run("new Promise((done) => setTimeout(done, 700))")
    assert scene.bench.previews_taken == taken
    scene.browser.run(HIDDEN % "false")
    scene.show(UNFILED)
    scene.browser.until("document.getElementById('case-id').innerText === 'UNFILED'")
    scene.wait(lambda: scene.bench.previews_taken > taken)
