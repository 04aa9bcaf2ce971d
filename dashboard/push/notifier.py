"""Follows the feed of changes and notifies the readers of a site's urgent cases; it signs and shows nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from dashboard.accounts.roles import Actor, Role
from dashboard.page.watching import ChangeWatch
from dashboard.push.policy import PushPolicy, Told
from dashboard.push.sending import PushFailedError, PushGoneError, PushKey, send
from dashboard.push.settings import PushSettings
from dashboard.push.subscriptions import Subscriptions
from dashboard.review.desk import Desk
from dashboard.store import StoreAway
from service_runtime.boot import monotonic_s
from service_runtime.log import get_log

#: Sees the lines of every site; it opens no case, so it is in no audit book.
_NOTIFIER: Final = Actor("notifier", Role.HEMATOLOGIST)
_BATCH: Final = 200
#: The most urgent cases, which are known at the start.
_KNOWN: Final = 500
_AWAY_S: Final = 5.0


class Push:
    """Key and subscriptions of one server, for the page and for its notifier."""

    def __init__(self, settings: PushSettings, key: PushKey, subscriptions: Subscriptions) -> None:
        self.settings, self.key, self.subscriptions = settings, key, subscriptions

    @classmethod
    def open(cls, settings: PushSettings, database_url: str) -> Push:
        """Reads or makes the key; the database has its tables."""
        subscriptions = Subscriptions(database_url, settings.services)
        return cls(settings, PushKey.load(settings.key_file), subscriptions)

    def notifier(self, desk: Desk, watch: ChangeWatch) -> Notifier:
        """Follows this desk's changes."""
        return Notifier(desk, watch, self.subscriptions, self.key, self.settings)

    def close(self) -> None:
        """Closes its connections."""
        self.subscriptions.close()


class Notifier:
    """All methods belong to the event loop's thread."""

    def __init__(
        self,
        desk: Desk,
        watch: ChangeWatch,
        subscriptions: Subscriptions,
        key: PushKey,
        settings: PushSettings,
    ) -> None:
        self._desk = desk
        self._watch = watch
        self._subscriptions = subscriptions
        self._key = key
        self._settings = settings
        self._policy = PushPolicy(settings)
        self._log = get_log("dashboard")

    async def run(self) -> None:
        """Until cancelled. What was there before the start is known and not told again."""
        after = await self._begin()
        while True:
            try:
                after = await self._look(after)
            except StoreAway as error:
                self._log.error("store_away", problem=str(error))
                await asyncio.sleep(_AWAY_S)
                continue
            for told in self._policy.due(monotonic_s()):
                await self._tell(told)
            deadline = self._policy.deadline()
            wait_s = None if deadline is None else max(0.0, deadline - monotonic_s())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._watch.after(after)

    async def _begin(self) -> int:
        page = await asyncio.to_thread(self._desk.worklist, _NOTIFIER, limit=_KNOWN)
        signed = await asyncio.to_thread(self._desk.worklist, _NOTIFIER, limit=_KNOWN, signed=True)
        for case in (*page.cases, *signed.cases):  # emergencies are signed, and stand first
            self._policy.seen(case, monotonic_s(), is_new=False)
        return page.change_id

    async def _look(self, after: int) -> int:
        while True:
            found = await asyncio.to_thread(self._desk.changes, after, _NOTIFIER, limit=_BATCH)
            if found.last_id == after:
                return after
            after = found.last_id
            keys = list(dict.fromkeys(change.case_key for change in found.changes))
            page = await asyncio.to_thread(self._desk.summaries, keys, _NOTIFIER)
            for case in page.cases:
                self._policy.seen(case, monotonic_s())

    async def _tell(self, told: Told) -> None:
        readers = await asyncio.to_thread(self._subscriptions.of_site, told.site)
        sent = 0
        for reader in readers:
            try:
                await asyncio.to_thread(send, self._key, self._settings.contact, reader, told)
                sent += 1
            except PushGoneError:
                await asyncio.to_thread(self._subscriptions.remove, reader.endpoint)
            except PushFailedError as error:
                self._log.error("push_failed", problem=str(error))
        self._log.info("readers_notified", why=told.why.value, cases=len(told.keys), sent=sent)
