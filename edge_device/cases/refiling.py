"""Tells the records store of moved fields until it confirms, over restarts of either side; it changes no case itself.

A move is said again on every connect, when the records store comes back, when it is another store
than the one that confirmed, and every 60 s (48 to 72) otherwise; never while the store is away.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Final

from edge_device.cases import ledger
from edge_device.outbox_thread import OutboxThread
from service_runtime.boot import monotonic_s
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from wire_protocol.messages import Refiled
from wire_protocol.topics import Kind, Topics

AGAIN_S: Final = 60.0
#: Moves told in one round; the next round follows when they are confirmed.
_AT_ONCE: Final = 50


class Refiling:
    """All methods belong to the event loop's thread. `store_id`: the store that answered last."""

    def __init__(
        self,
        session: MqttSession,
        disk: OutboxThread,
        topics: Topics,
        *,
        site: str,
        device: str,
        store_id: str = "",
        again_s: float = AGAIN_S,
    ) -> None:
        self._session = session
        self._disk = disk
        self._topic = topics.build(Kind.REFILE, site=site, device=device)
        self._site, self._device = site, device
        self._store_id = store_id
        self._again_s = again_s
        self._is_connected = False
        self._is_store_away = False
        #: Told and not confirmed, on this connection.
        self._untold: set[str] = set()
        self._confirmed: dict[str, str] = {}
        self._again_at_s = 0.0
        self._news = asyncio.Event()
        self._log = get_log("edge").bind(device=device)

    def connected(self) -> None:
        """Subscribed and announced: what is not confirmed is said."""
        self._is_connected = True
        self._begin()

    def disconnected(self) -> None:
        """Nothing can be said."""
        self._is_connected = False

    def records(self, *, online: bool, store_id: str = "") -> None:
        """The records store's status."""
        came = online and self._is_store_away
        self._is_store_away = not online
        if store_id and store_id != self._store_id:
            self._store_id, came = store_id, True
        if came:
            self._begin()

    def moved(self) -> None:
        """A field was moved."""
        self._begin()

    def acknowledged(self, message: Refiled) -> None:
        """The records store keeps this move."""
        self._confirmed[message.refile_id] = message.store_id
        self._untold.discard(message.refile_id)
        self._news.set()

    async def run(self) -> None:
        """Says and confirms, for ever."""
        await self._disk.if_possible(ledger.forget_refiles)
        while True:
            self._news.clear()
            await self._write_confirmed()
            can_tell = self._is_connected and not self._is_store_away
            if can_tell and (not self._untold or monotonic_s() >= self._again_at_s):
                self._again_at_s = monotonic_s() + self._again_s * random.uniform(0.8, 1.2)
                await self._tell()
            waits_s = max(0.1, self._again_at_s - monotonic_s())
            try:
                async with asyncio.timeout(waits_s if self._untold or self._confirmed else None):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _begin(self) -> None:
        self._again_at_s = 0.0
        self._news.set()

    async def _write_confirmed(self) -> None:
        confirmed = dict(self._confirmed)
        if not confirmed:
            return
        if await self._disk.if_possible(partial(ledger.confirm_refiles, confirmed=confirmed)):
            for refile_id in confirmed:
                self._confirmed.pop(refile_id, None)
            self._log.info("refiles_confirmed", count=len(confirmed))

    async def _tell(self) -> None:
        store_id = self._store_id
        refiles = await self._disk.if_possible(
            lambda outbox: ledger.untold_refiles(
                outbox, site=self._site, device=self._device, store_id=store_id, limit=_AT_ONCE
            )
        )
        self._untold = set()
        for refile in refiles or ():
            self._untold.add(refile.refile_id)
            self._session.send(self._topic, refile.to_bytes())
