"""The device's account of itself, on change and every few seconds, and the outbox's housekeeping beside it."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from typing import Any

from edge_device.outbox import Outbox
from edge_device.outbox.retention import keep_house
from edge_device.outbox_thread import OutboxThread
from edge_device.settings import EdgeSettings
from service_runtime.boot import boot_id, monotonic_s
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from wire_protocol.json_messages import Health
from wire_protocol.topics import Kind, Topics

#: Changes are told at most this often.
_LEAST_GAP_S = 1.0
_HOUSEKEEPING_S = 60.0


class Reporter:
    """Publishes Health; `changed` is told of every step that an operator would want to see soon."""

    def __init__(
        self, settings: EdgeSettings, topics: Topics, session: MqttSession, disk: OutboxThread
    ) -> None:
        self.last_scores: dict[str, float] = {}
        self._settings = settings
        self._topic = topics.build(Kind.DEVICE_HEALTH, site=settings.site, device=settings.device)
        self._session = session
        self._disk = disk
        self._started_s = monotonic_s()
        self._news = asyncio.Event()

    def changed(self) -> None:
        """Something that Health tells is different now."""
        self._news.set()

    async def run(self) -> None:
        """Reports for ever."""
        kept_house_s = monotonic_s()
        while True:
            await self.publish()
            now = monotonic_s()
            if now - kept_house_s >= _HOUSEKEEPING_S:
                # A time that the disk refuses to count is lost: images are only kept longer for it.
                await self._disk.if_possible(partial(self._keep_house, now - kept_house_s))
                kept_house_s = now
            await asyncio.sleep(min(_LEAST_GAP_S, self._settings.health_every_s))
            try:
                async with asyncio.timeout(self._settings.health_every_s - _LEAST_GAP_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()

    async def publish(self) -> None:
        """Says it now, where there is a connection and the disk can be read."""
        health = await self._disk.if_possible(self._measure)
        if health is not None:
            self._session.send(self._topic, health.to_bytes())

    def _measure(self, outbox: Outbox) -> Health:
        """The account as it stands; on the writer thread."""
        totals = outbox.totals()
        return Health(
            site=self._settings.site,
            device=self._settings.device,
            outbox_id=outbox.outbox_id,
            next_seq=totals.next_seq,
            oldest_unrecorded_seq=totals.oldest_unrecorded_seq,
            counts=totals.counts,
            queue_bytes=totals.unrecorded_bytes,
            disk_free_bytes=shutil.disk_usage(outbox.folder).free,
            boot_id=boot_id(),
            uptime_s=round(monotonic_s() - self._started_s, 3),
            last_scores=dict(self.last_scores),
        )

    async def report(self) -> dict[str, Any]:
        """Answer to the command `report`; raises where the disk cannot be read."""
        return (await self._disk.call(self._measure)).model_dump(mode="json")

    def _keep_house(self, elapsed_s: float, outbox: Outbox) -> None:
        limits = self._settings.outbox
        freed = keep_house(
            outbox,
            elapsed_s=elapsed_s,
            min_free_bytes=limits.min_free_bytes,
            max_held_bytes=limits.max_bytes,
        )
        if freed.images or freed.tombstones:
            get_log("edge").info(
                "outbox_freed",
                images=freed.images,
                size_bytes=freed.size_bytes,
                tombstones=freed.tombstones,
            )
