"""Notices that another process committed to the store, within milliseconds, while somebody looks; it reads no case.

SQLite counts the commits of others (PRAGMA data_version, some microseconds); other databases are asked
for the newest change. Nothing is asked while no page is open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from dashboard.review.desk import Desk
from service_runtime.log import get_log

#: Half of it on average is added to what a new case takes to the screen.
LOOK_EVERY_S: Final = 0.02
#: Of a database that has no cheap count.
ASK_EVERY_S: Final = 0.05
#: A look that failed is tried again after this.
_AWAY_S: Final = 1.0


class ChangeWatch:
    """All methods belong to the event loop's thread."""

    def __init__(self, desk: Desk, database_url: str) -> None:
        self._desk = desk
        self._url = make_url(database_url)
        self._news = asyncio.Condition()
        self._waiting = 0
        self._someone = asyncio.Event()
        self.last_event = 0

    async def run(self) -> None:
        """Watches until cancelled."""
        log = get_log("dashboard")
        while True:
            try:
                await self._watch()
            except Exception as error:  # sqlite3's and SQLAlchemy's own; the page goes on
                log.error("store_away", problem=f"{type(error).__name__}: {error}")
                await asyncio.sleep(_AWAY_S)

    async def after(self, seen: int) -> int:
        """Waits for a change after `seen`; gives the newest one's id."""
        self._waiting += 1
        self._someone.set()
        try:
            async with self._news:
                await self._news.wait_for(lambda: self.last_event > seen)
                return self.last_event
        finally:
            self._waiting -= 1

    async def look(self) -> None:
        """Looks now: this process itself has changed something."""
        newest = await asyncio.to_thread(self._desk.last_change)
        if newest != self.last_event:
            async with self._news:
                self.last_event = newest
                self._news.notify_all()

    async def _watch(self) -> None:
        if self._url.get_backend_name() != "sqlite":
            while True:
                await self._until_someone_waits()
                await self.look()
                await asyncio.sleep(ASK_EVERY_S)
        version = _data_version(Path(self._url.database or ""))
        seen: int | None = None
        while True:
            await self._until_someone_waits()
            now = version()
            if now != seen:
                seen = now
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_someone_waits(self) -> None:
        if self._waiting == 0:
            self._someone.clear()
            await self._someone.wait()


def _data_version(path: Path) -> Callable[[], int]:
    """Counts the commits of other connections to this file."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)

    def version() -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    return version
