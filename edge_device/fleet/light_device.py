"""One light device: from its outbox to `Recorded` the agent's own parts, in front of it a clock that captures.

    capture on schedule -> keep (outbox) -> transfer -> commit, with follow, health, clock and refiling

A capture that the outbox has no room for is left out and counted, as a microscope would stop.
Longer than most files: it is an agent's whole wiring without its camera.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from edge_device.cases import Refiling
from edge_device.fleet.pictures import Pictures
from edge_device.health import Reporter, Standing
from edge_device.incoming import Incoming
from edge_device.outbox import NewCapture, Outbox
from edge_device.outbox.memory import known_store
from edge_device.outbox_thread import OutboxThread
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from edge_device.store_change import ask_other_store
from edge_device.transfer import Transfer
from service_runtime.boot import (
    boot_id,
    clock_is_synced,
    monotonic_ns,
    monotonic_s,
    new_id,
    wall_time,
)
from service_runtime.clock import ClockExchange
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    Connected,
    ConnectionLostError,
    Disconnected,
    Message,
    Presence,
)
from service_runtime.session_roles import device_session
from wire_protocol import json_messages as jm
from wire_protocol import machine_io as io
from wire_protocol.manifest import ContentType
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage

_MESSAGES_AT_ONCE = 32


@dataclass(slots=True)
class DeviceCounts:
    """What became of this device's captures, those of earlier runs included."""

    captured: int = 0
    recorded: int = 0
    #: Left out because the outbox was at its bound.
    left_out: int = 0
    sent_bytes: int = 0
    busy: int = 0


class LightDevice:
    """All methods belong to the event loop's thread."""

    def __init__(
        self,
        number: int,
        settings: EdgeSettings,
        outbox: Outbox,
        pictures: Pictures,
        tasks: asyncio.TaskGroup,
    ) -> None:
        topics = Topics(settings.broker.root)
        place = {"site": settings.site, "device": settings.device}
        self._number = number
        self._settings = settings
        self._pictures = pictures
        self._tasks = tasks
        self._left_out = 0
        self._settled = asyncio.Event()
        status = jm.Status(
            state=jm.Presence.ONLINE, incarnation=new_id(), program="edge", id=settings.device
        )
        self._session = MqttSession(
            settings.broker,
            device_session(settings.site, settings.device),
            Presence(topics.build(Kind.DEVICE_STATUS, **place), status),
        )
        clock_topic = topics.build(Kind.CLOCK, peer="records")
        self._clock = ClockExchange(
            settings.device, lambda payload: self._session.send(clock_topic, payload, qos=0)
        )
        self._disk = OutboxThread(outbox)
        self._owed = Owed()
        self._store_id = known_store(outbox)
        self._refiling = Refiling(
            self._session,
            self._disk,
            topics,
            site=settings.site,
            device=settings.device,
            store_id=self._store_id,
        )
        self._transfer = Transfer(
            settings,
            topics,
            session=self._session,
            disk=self._disk,
            owed=self._owed,
            tasks=tasks,
            clock=self._clock,
            on_settled=self._settled.set,
        )
        self._reporter = Reporter(settings, topics, self._session, self._disk, self._standing)
        self._incoming = Incoming(
            topics,
            **place,
            tell=self._transfer.tell,
            on_store=self._on_store,
            clock=self._clock,
            refiling=self._refiling,
            commands=None,
        )
        self._captured = 0

    @property
    def counts(self) -> DeviceCounts:
        """How far it is."""
        sender = self._transfer.sender
        return DeviceCounts(
            captured=self._captured,
            recorded=self._captured - len(self._owed),
            left_out=self._left_out,
            sent_bytes=sender.counts.chunk_bytes,
            busy=sender.counts.busy,
        )

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._session.is_connected

    async def run(self, stop: asyncio.Event, begin_s: float, every_s: float) -> None:
        """Captures from `begin_s` on, until `stop` or until all its captures are recorded."""
        for row in await self._disk.call(Outbox.unfinished):
            self._transfer.take(row)
        totals = await self._disk.call(Outbox.totals)
        self._captured = totals.next_seq - 1
        jobs = [
            self._session.run(),
            self._follow(),
            self._disk.commit_changes(self._transfer.committed),
            self._clock.run(),
            self._refiling.run(),
            self._reporter.run(),
        ]
        running = [self._tasks.create_task(job, name=self._settings.device) for job in jobs]
        work = self._tasks.create_task(self._capture_all(begin_s, every_s))
        stopped = self._tasks.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await self._reporter.publish()
        finally:
            self._disk.hurry()
            work.cancel()
            stopped.cancel()
            await self._session.close()
            for task in running:
                task.cancel()
            await asyncio.gather(work, *running, return_exceptions=True)
            self._transfer.stop()
            await self._disk.close()
            self._disk.shut()

    async def _capture_all(self, begin_s: float, every_s: float) -> None:
        count = self._settings.camera.count
        scheduled_s = begin_s
        while count is None or self._captured < count:
            await asyncio.sleep(max(0.0, scheduled_s - monotonic_s()))
            await self._capture(scheduled_s)
            scheduled_s += every_s
        while len(self._owed) or not self._disk.is_settled:
            self._settled.clear()
            await self._settled.wait()

    async def _capture(self, scheduled_s: float) -> None:
        bounds = self._settings.outbox
        if len(self._owed) >= bounds.max_images or self._owed.held_bytes >= bounds.max_bytes:
            self._left_out += 1
            return
        number = self._captured
        captured_ns = monotonic_ns()
        stamps = {Stage.SCHEDULED: round(scheduled_s * 1e9), Stage.CAPTURED: captured_ns}
        draw = partial(self._pictures.numbered, self._number, number)
        content = await asyncio.to_thread(draw)
        stamps[Stage.ENCODED] = monotonic_ns()
        camera = self._settings.camera
        assert camera.kind == "simulated"
        capture = NewCapture(
            source=f"fleet {number}",
            source_key=f"fleet {number}",
            content=content,
            captured_at=wall_time(),
            captured_ns=captured_ns,
            boot_id=boot_id(),
            clock_synced=clock_is_synced(),
            content_type=ContentType.JPEG,
            width_px=camera.width_px,
            height_px=camera.height_px,
            um_per_px=camera.um_per_px if self._settings.um_per_px is not None else None,
        )
        [row] = await self._disk.add([capture])
        self._captured += 1
        if row is not None:
            self._transfer.stamps.queued(row.image_id, stamps, ends_here=False)
            self._transfer.take(row)

    async def _follow(self) -> None:
        in_a_row = 0
        async for event in self._session.events():
            match event:
                case Message():
                    self._incoming.receive(event)
                case Connected(limits=limits):
                    try:
                        asked_s = monotonic_s()
                        await self._session.subscribe(self._incoming.subscriptions())
                        round_trip_s = monotonic_s() - asked_s
                        await self._session.announce()
                    except ConnectionLostError:
                        continue
                    self._transfer.connected(limits, round_trip_s)
                    self._clock.connected()
                    self._refiling.connected()
                case Disconnected():
                    self._incoming.forget_presence()
                    self._clock.disconnected()
                    self._refiling.disconnected()
                    self._transfer.tell(io.Disconnected())
            in_a_row += 1
            if in_a_row % _MESSAGES_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _standing(self) -> Standing:
        offset = self._clock.offset()
        return Standing(
            link_bytes_per_s=self._transfer.sender.pace.rate or None,
            clock_offset_ns=None if offset is None else offset.offset_ns,
            clock_error_ns=None if offset is None else offset.error_ns,
        )

    def _on_store(self, store_id: str) -> None:
        if store_id == self._store_id:
            return
        before, self._store_id = self._store_id, store_id
        asking = ask_other_store(
            store_id, before, self._disk, self._transfer, lambda: self._store_id == store_id
        )
        self._tasks.create_task(asking, name="ask store")


def total(devices: Sequence[LightDevice]) -> DeviceCounts:
    """The sum over devices."""
    found = DeviceCounts()
    for counts in (device.counts for device in devices):
        found.captured += counts.captured
        found.recorded += counts.recorded
        found.left_out += counts.left_out
        found.sent_bytes += counts.sent_bytes
        found.busy += counts.busy
    return found
