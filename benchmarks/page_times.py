"""How long a reader waits: first paint, 10,000 cases, recorded to on screen, the first white cell on a slow link.

    python -m benchmarks.page_times [--cases 10000] [--changes 100]

One browser on this machine; the store is written by another connection, as the records program does.
Times across the two processes are of the machine's one clock. Measured is what the page adds:
the time before `recorded` is told by hemowire bench.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service_runtime.log import configure_logging
from tests.chromium import Browser, chromium
from tests.dashboard.page.page_house import PHONE, PageHouse, Reader, page_house

#: 4 Mbit/s and the round trip of a phone network.
SLOW: Final = {"downloadThroughput": 4e6 / 8, "uploadThroughput": 1e6 / 8, "latency": 40}
FRAMES: Final = 240
#: Cases that stand at the top of the list, in view, and get field after field.
TOP: Final = 5
#: No multiple of any polling, so that changes come at all phases of it.
PAUSE_S: Final = 0.137

#: Frames while the list is flung.
_SCROLL = """
new Promise((done) => {
  const box = document.getElementById('scroll');
  const step = 120; // 7,200 pixels a second: a hard fling
  const times = [];
  let last = performance.now(), blank = 0;
  const next = (now) => {
    times.push(now - last);
    last = now;
    if (!document.elementFromPoint(100, 400)?.closest('.row')) blank += 1;
    box.scrollTop += step;
    if (times.length < FRAMES) requestAnimationFrame(next);
    else done({ times: times.slice(1), blank, rows: document.querySelectorAll('.row').length });
  };
  requestAnimationFrame(next);
})
"""

#: Notes when a row that tells of so many fields is on the screen: after the frame that follows.
_WATCH = r"""
window.came = {};
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) {
    const row = node.querySelector?.('.row');
    const fields = row?.querySelector('.row-third').textContent.match(/in (\d+) field/)?.[1];
    const key = `${row?.dataset.key}/${fields}`;
    if (fields && !came[key]) requestAnimationFrame(() => setTimeout(() => {
      came[key] ??= performance.timeOrigin + performance.now();
    }));
  }
}).observe(document.getElementById('rows'), { childList: true });
"""


@dataclass(frozen=True)
class Measured:
    """All times in milliseconds."""

    first_paint: float
    list_ready: float
    whole_list: float
    frame_p50: float
    frame_p95: float
    blank_frames: int
    rows_in_page: int
    to_screen: tuple[float, ...]
    first_cell: float
    idle_percent: float


def percentile(values: list[float] | tuple[float, ...], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


def measure(folder: Path, cases: int, changes: int) -> Measured:
    """Everything, in one browser."""
    with page_house(folder) as house, chromium(folder / "profile") as browser:
        for index in range(3):
            house.field("C7F3K2", "aml", index)
        for number in range(TOP):
            house.field(f"TOP{number}", "all", 0)
        house.many(cases)
        reader = Reader(browser, house)
        reader.come_in(PHONE)
        browser.go(f"{house.url}/")
        browser.until("document.body.dataset.whole === 'yes'", 60)
        browser.run("new Promise((done) => setTimeout(done, 1500))")
        paint, ready, whole = _opening(browser, house)
        frames: dict[str, Any] = browser.run(_SCROLL.replace("FRAMES", str(FRAMES)))
        browser.run("document.getElementById('scroll').scrollTop = 0")
        to_screen = tuple(_to_screen(browser, house, changes))
        idle = _idle_percent()
        first_cell = _first_cell(browser, house)
        assert browser.complaints == [], browser.complaints
    return Measured(
        first_paint=paint,
        list_ready=ready,
        whole_list=whole,
        frame_p50=percentile(frames["times"], 0.5),
        frame_p95=percentile(frames["times"], 0.95),
        blank_frames=frames["blank"],
        rows_in_page=frames["rows"],
        to_screen=to_screen,
        first_cell=first_cell,
        idle_percent=idle,
    )


def _opening(browser: Browser, house: PageHouse) -> tuple[float, float, float]:
    """First paint, first lines and all lines of a page that is opened, without its kept files."""
    browser.send("Network.enable")
    browser.send("Network.setBypassServiceWorker", bypass=True)
    browser.send("Network.setCacheDisabled", cacheDisabled=True)
    browser.send(
        "Page.addScriptToEvaluateOnNewDocument",
        source="new MutationObserver(() => { if (document.querySelector('.row'))"
        " window.readyAt ??= performance.now();"
        " if (document.body?.dataset.whole) window.wholeAt ??= performance.now(); })"
        ".observe(document, { subtree: true, childList: true, attributes: true })",
    )
    browser.go(f"{house.url}/?again")
    browser.until("window.wholeAt > 0", 60)
    times: list[float] = browser.run(
        "[performance.getEntriesByName('first-contentful-paint')[0].startTime, readyAt, wholeAt]"
    )
    return times[0], times[1], times[2]


def _to_screen(browser: Browser, house: PageHouse, changes: int) -> list[float]:
    """From the commit of a field to the row of its case, redrawn, on the screen."""
    browser.run(_WATCH)
    committed = {}
    for number in range(changes):
        fields, case = divmod(number, TOP)
        house.field(f"TOP{case}", "all", 0)
        committed[f"lab.TOP{case}/{fields + 2}"] = time.time() * 1000
        time.sleep(PAUSE_S)
    last = list(committed)[-1]
    browser.until(f"Boolean(window.came['{last}'])", 20)
    came: dict[str, float] = browser.run("window.came")
    return [came[key] - at for key, at in committed.items() if key in came]


def _idle_percent() -> float:
    """CPU of this process while one page listens and nothing happens (the browser is another)."""
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(5)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - began)


def _first_cell(browser: Browser, house: PageHouse) -> float:
    """From the touch on a case to its first white cell, over a slow link, nothing kept."""
    browser.send("Network.emulateNetworkConditions", offline=False, **SLOW)
    try:
        found: float = browser.run(
            "new Promise((done) => { const began = performance.now();"
            " new MutationObserver((_, me) => { const image = document.querySelector('.crop-image');"
            " if (!image) return; me.disconnect(); image.addEventListener('load', () =>"
            " requestAnimationFrame(() => done(performance.now() - began))); })"
            ".observe(document.getElementById('case'), { childList: true, subtree: true });"
            " history.pushState(null, '', '/case/lab.C7F3K2');"
            " dispatchEvent(new PopStateEvent('popstate')); })"
        )
    finally:
        browser.send(
            "Network.emulateNetworkConditions",
            offline=False, downloadThroughput=-1, uploadThroughput=-1, latency=0,
        )  # fmt: skip
    assert house.url
    return found


def table(found: Measured, cases: int) -> str:
    """The figures as Markdown."""
    to_screen = found.to_screen
    rows = (
        ("first contentful paint", f"{found.first_paint:.0f} ms", "1 s"),
        ("first lines of the list", f"{found.list_ready:.0f} ms", ""),
        (f"all {cases:,} cases in memory", f"{found.whole_list:.0f} ms", ""),
        ("frame while scrolling through them, p50", f"{found.frame_p50:.1f} ms", ""),
        ("frame while scrolling through them, p95", f"{found.frame_p95:.1f} ms", "34 ms"),
        (f"frames without a row, of {FRAMES}", f"{found.blank_frames}", "0"),
        ("rows that are elements", f"{found.rows_in_page}", ""),
        (f"recorded to on screen, p50 of {len(to_screen)}", f"{percentile(to_screen, 0.5):.0f} ms", ""),
        (f"recorded to on screen, p95 of {len(to_screen)}", f"{percentile(to_screen, 0.95):.0f} ms", "150 ms"),
        ("touch to first white cell, 4 Mbit/s, 40 ms", f"{found.first_cell:.0f} ms", "1 s"),
        ("CPU of the server while one page listens", f"{found.idle_percent:.1f} %", ""),
    )  # fmt: skip
    lines = ["| measured | value | wanted |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {a} | {b} | {c} |" for a, b, c in rows)])


def main() -> None:
    """Measures once and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=100)
    args = parser.parse_args()
    configure_logging("error")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.cases, args.changes)
    load = os.getloadavg()[0]
    sys.stdout.write(f"load average {load:.1f} on {os.cpu_count()} cores\n")
    sys.stdout.write(table(found, args.cases) + "\n")


if __name__ == "__main__":
    main()
