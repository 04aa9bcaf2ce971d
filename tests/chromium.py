"""Chromium without a window, driven through its debugging pipe: no driver and no package is needed.

It loads the page from a loopback port as any browser would; every message of its console that is an
error (a script's, or a broken rule of the content security policy) is kept in `complaints`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START = Path(__file__).with_name("chromium_start.py")
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-extensions",
)


class LeftError(Exception):
    """The page went elsewhere while an expression was waited for."""


class Browser:
    """One page; calls block until Chromium has answered."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out = os.fdopen(to_browser, "wb")
        self._in = os.fdopen(from_browser, "rb")
        self._number = 0
        self._session = ""
        self._rest = b""
        self.complaints: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: object) -> Any:
        """The result of one command."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                told = answer.get("error", {}).get("message", "")
                if "navigated" in told or "default execution context" in told:
                    raise LeftError(told)
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._in.fileno(), 1 << 20)
            assert more, "chromium has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))
        entry = event.get("params", {}).get("entry", {})
        if event.get("method") == "Log.entryAdded" and entry["level"] == "error":
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def look_like(
        self, width: int, height: int, *, dark: bool = False, touch: bool = False
    ) -> None:
        """The size of the screen and what its owner prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=touch,
        )  # fmt: skip
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, url: str) -> None:
        """Loads a page; returns in the new one, for the old one answers on for a while."""
        self.until("window.isOld = true")
        if "loaderId" in self.send("Page.navigate", url=url):
            self.until("!window.isOld")

    def run(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, deadline_s: float = 15.0) -> Any:
        """Waits in the page until an expression is true, and gives its value; a page that goes
        elsewhere meanwhile is waited in again."""
        end_s = time.monotonic() + deadline_s
        found = None
        while not found and (left_s := end_s - time.monotonic()) > 0:
            try:
                found = self._look_for(script, left_s)
            except LeftError:
                time.sleep(0.02)
        assert found, f"never came true: {script}; complaints: {self.complaints}"
        return found

    def _look_for(self, script: str, deadline_s: float) -> Any:
        return self.run(
            f"new Promise((done) => {{ const end = performance.now() + {deadline_s * 1000};"
            f" const look = () => {{ let is; try {{ is = ({script}); }} catch {{ is = null; }}"
            " if (is || performance.now() > end) done(is); else setTimeout(look, 20); };"
            " look(); })"
        )

    def press(self, key: str, code: str, number: int, text: str = "") -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code,
                windowsVirtualKeyCode=number, text=text if kind == "keyDown" else "",
            )  # fmt: skip

    def picture(self, path: Path) -> None:
        """What is on the screen now."""
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Closes the pipes, which ends Chromium."""
        self._out.close()
        self._in.close()


def find_chromium() -> str | None:
    """A Chromium or Chrome of this machine."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A running browser; skips the test, visibly, where there is none."""
    program = find_chromium()
    if program is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(_NAMES)}")
    reading, to_browser = os.pipe()
    from_browser, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, str(_START), str(reading), str(writing), program, *_FLAGS,
         f"--user-data-dir={profile}"],
        pass_fds=(reading, writing), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reading)
    os.close(writing)
    browser = Browser(to_browser, from_browser)
    try:
        yield browser
    finally:
        browser.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
