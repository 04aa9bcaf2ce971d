"""A served page over a real store and archive, in a thread of its own, and a hematologist who looks at it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from dashboard.accounts.roles import Actor, Role
from dashboard.cases.settings import CaseSettings
from dashboard.page.link_door import LinkDoor
from dashboard.page.models import Models, NoModels
from dashboard.page.program import run_dashboard
from dashboard.page.settings import DashboardSettings, PageSettings
from dashboard.push.settings import PushSettings
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.review.desk import Desk
from dashboard.review.settings import ReviewSettings
from dashboard.store import Filed, RecordsStore
from service_runtime.boot import wall_time
from service_runtime.broker_settings import BrokerSettings
from tests.chromium import Browser
from tests.dashboard.page.smears import UM_PER_PX, said, smear
from tests.dashboard.reports_for_tests import diagnosis, rejection
from wire_protocol.archive_layout import blob_key

#: The machine may be busy with other tests: what comes at all comes within this.
DEADLINE_S = 40.0
PHONE, DESK_SIZE, TABLET = (360, 740), (1440, 900), (820, 1180)
KIM = Actor("kim", Role.HEMATOLOGIST)


class PageHouse:
    """A store, an archive and the page over them; fields are recorded by another connection, as in life."""

    def __init__(
        self,
        folder: Path,
        *,
        page: PageSettings | None = None,
        broker: BrokerSettings | None = None,
        models: Models | None = None,
        push: PushSettings | None = None,
        undo_s: float = 10.0,
        cells_needed: int = 0,
        database_url: str = "",
    ) -> None:
        self.archive = folder / "archive"
        self.archive.mkdir(exist_ok=True)
        self.settings = DashboardSettings(
            database_url=database_url or f"sqlite:///{folder / 'records.sqlite'}",
            archive_url=str(self.archive),
            page=page or PageSettings(port=0),
            broker=broker,
            push=push or PushSettings(),
        )
        self.cases = CaseSettings(white_cells_needed=cells_needed)
        self.store = RecordsStore(self.settings.database_url, wall_time(), self.cases)
        self.desk = Desk.open(
            self.settings.database_url,
            str(self.archive),
            audit_key=b"k" * 32,
            review=ReviewSettings(undo_s=undo_s),
            cases=self.cases,
        )
        self.door = LinkDoor()
        self.url = ""
        #: The field that a fixture recorded first.
        self.image_id = ""
        self._models = models or NoModels()
        self._number = 0
        self._loop = asyncio.new_event_loop()
        self._thread: Thread | None = None

    # --- the store ------------------------------------------------------------------------------

    def field(self, case_id: str, kind: str, index: int = 0, **changes: Any) -> str:
        """Records a field; gives its image id."""
        picture = smear("healthy" if kind == "cannot_say" else kind, 1 + self._number % 3, index)
        sha256 = self.put(picture.jpeg)
        told: dict[str, Any] = {
            "case_id": case_id,
            "image_sha256": sha256,
            "white_cells": len(picture.boxes),
            "white_cell_boxes": picture.boxes,
            "um_per_px": UM_PER_PX,
            "width_px": picture.width_px,
            "height_px": picture.height_px,
            "captured_at": wall_time(),
        }
        return self.record(**(told | said(kind) | changes))

    def record(self, **told: Any) -> str:
        """Records a diagnosis."""
        self._number += 1
        message = diagnosis(self._number, **told)
        report = report_of_diagnosis(message, message.site, message.device)
        self.store.commit([Filed(report, True)], wall_time())
        return message.image_id

    def reject(self, case_id: str) -> str:
        """Records a field that the gate refused."""
        self._number += 1
        message = rejection(self._number, case_id=case_id, captured_at=wall_time())
        report = report_of_rejection(message, message.site, message.device)
        self.store.commit([Filed(report, False)], wall_time())
        return message.image_id

    def put(self, data: bytes) -> str:
        """Archives bytes; gives their digest."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.archive / blob_key(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return sha256

    def many(self, count: int) -> None:
        """Records so many cases of one field without a picture."""
        kinds = ("healthy", "cll", "cannot_say", "aml", "healthy")
        batch = []
        for number in range(self._number + 1, self._number + count + 1):
            told = said(kinds[number % 5]) | {
                "case_id": f"N{number:05}",
                "captured_at": wall_time(),
            }
            report = report_of_diagnosis(diagnosis(number, **told), "lab", "scope-1")
            batch.append(Filed(report, True))
        self._number += count
        for start in range(0, count, 500):
            self.store.commit(batch[start : start + 500], wall_time())

    # --- the page -------------------------------------------------------------------------------

    def start(self) -> None:
        """Serves; returns when it answers."""
        ready = Event()

        def told(url: str) -> None:
            self.url = url.rstrip("/")
            ready.set()

        async def run() -> None:
            self._stop = asyncio.Event()
            await run_dashboard(
                self.settings, self.desk, self.door, self._models, self._stop, told=told
            )

        self._thread = Thread(target=self._loop.run_until_complete, args=(run(),))
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        """Ends the page; the store stays."""
        if self._thread is None:
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._thread = None

    def close(self) -> None:
        """Ends everything."""
        self.stop()
        self._loop.close()
        self.desk.close()
        self.store.close()

    def session(self, actor: Actor = KIM) -> str:
        """A session as a browser would get it."""
        return self.door.enter(self.door.new_link(actor), "127.0.0.1")


class Reader:
    """A person at a browser."""

    def __init__(self, browser: Browser, house: PageHouse) -> None:
        self.browser, self.house = browser, house

    def come_in(
        self,
        size: tuple[int, int] = PHONE,
        *,
        actor: Actor = KIM,
        dark: bool = False,
        path: str = "/",
    ) -> None:
        """Opens the page by a one-time link, as from a code on a terminal."""
        self.browser.look_like(*size, dark=dark, touch=size[0] < 900)
        self.browser.complaints.clear()
        link = self.house.door.new_link(actor)
        self.browser.go(f"{self.house.url}/enter#{link}")
        self.browser.until(
            "location.pathname === '/' && document.body.dataset.ready === 'yes'", DEADLINE_S
        )
        if path != "/":
            self.browser.go(f"{self.house.url}{path}")
        self.browser.until("document.body.dataset.life === 'alive'", DEADLINE_S)

    def open(self, case_id: str) -> None:
        """Opens a case from the list."""
        self.browser.until(
            "((row) => { row?.click(); return Boolean(row); })"
            "([...document.querySelectorAll('.row')].find((row) =>"
            f" row.querySelector('.row-id').textContent === '{case_id}'))",
            DEADLINE_S,
        )
        self.browser.until(
            f"document.querySelector('.case-id')?.textContent === '{case_id}'"
            " && Boolean(document.querySelector('.actions'))",
            DEADLINE_S,
        )

    def press(self, label: str) -> None:
        """A button that can be seen, by how its words begin; waits until it can be pressed."""
        self.browser.until(
            "(() => { const found = [...document.querySelectorAll('button')].find((one) =>"
            f" one.textContent.trim().startsWith({label!r}) && one.offsetParent && !one.disabled"
            " && (!document.querySelector('dialog[open]') || one.closest('dialog')));"
            " found?.click(); return Boolean(found); })()",
            DEADLINE_S,
        )

    def text(self, selector: str) -> str:
        return str(self.browser.run(f"document.querySelector({selector!r})?.innerText ?? ''"))


@contextmanager
def page_house(folder: Path, **options: Any) -> Iterator[PageHouse]:
    """A house that is served and ends."""
    house = PageHouse(folder, **options)
    try:
        house.start()
        yield house
    finally:
        house.close()


def asks(actor: Actor) -> Callable[[PageHouse], str]:
    """The session of somebody else."""
    return lambda house: house.session(actor)
