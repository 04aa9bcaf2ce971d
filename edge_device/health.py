"""The device's account of itself, on change and every few seconds, and the outbox's housekeeping beside it.

It is published and never written to disk.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edge_device import computer
from edge_device.outbox import Outbox
from edge_device.outbox.limits import age_alarm
from edge_device.outbox.retention import keep_house
from edge_device.outbox_thread import OutboxThread
from edge_device.settings import EdgeSettings
from service_runtime.boot import boot_id, clock_is_synced, monotonic_s
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from wire_protocol.json_messages import Health
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import UNFILED
from wire_protocol.topics import Kind, Topics

#: Changes are told at most this often.
_LEAST_GAP_S = 1.0
_HOUSEKEEPING_S = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the agent itself knows of how it stands; the names are those of Health."""

    halted: str = ""
    case_id: str = UNFILED
    last_scores: dict[str, float] = field(default_factory=dict)
    link_bytes_per_s: float | None = None
    clock_offset_ns: int | None = None
    clock_error_ns: int | None = None
    flat_field_version: int = 0
    calibration_version: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)


class Reporter:
    """Publishes Health; `changed` is told of every step that an operator would want to see soon."""

    def __init__(
        self,
        settings: EdgeSettings,
        topics: Topics,
        session: MqttSession,
        disk: OutboxThread,
        standing: Callable[[], Standing],
    ) -> None:
        #: The last account, None before the first.
        self.last: Health | None = None
        self._standing = standing
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
        health = await self._disk.if_possible(partial(self._measure, self._standing()))
        if health is not None:
            self.last = health
            self._session.send(self._topic, health.to_bytes())

    def _measure(self, standing: Standing, outbox: Outbox) -> Health:
        """The account as it stands; on the writer thread."""
        totals = outbox.totals()
        oldest_s = totals.oldest_unrecorded_s
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
            last_scores=standing.last_scores,
            halted=standing.halted,
            alarm=age_alarm(self._settings.outbox, totals),
            case_id=standing.case_id,
            oldest_waiting_s=None if oldest_s is None else round(oldest_s, 1),
            damaged=totals.counts.get(OutboxState.QUARANTINED, 0),
            memory_bytes=computer.memory_bytes(),
            memory_available_bytes=computer.memory_available_bytes(),
            cpu_temperature_c=computer.cpu_temperature_c(),
            link_bytes_per_s=standing.link_bytes_per_s,
            clock_offset_ns=standing.clock_offset_ns,
            clock_error_ns=standing.clock_error_ns,
            clock_synced=clock_is_synced(),
            flat_field_version=standing.flat_field_version,
            calibration_version=standing.calibration_version,
            overrides=standing.overrides,
            software=computer.software_version(),
        )

    async def report(self) -> dict[str, Any]:
        """Answer to the command `report`; raises where the disk cannot be read."""
        health = await self._disk.call(partial(self._measure, self._standing()))
        return health.model_dump(mode="json")

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
