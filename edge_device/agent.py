"""The microscope agent on one page: capture -> gate -> encode -> outbox -> offer and claim -> chunks -> recorded.

    microscope  (thread)   takes a shot when due, opens it, gates it, encodes it   microscope, capture
    keep        (thread)   commits bytes and row: from here on nothing is lost     outbox
    transfer               offers, sends chunks, asks the records store            transfer, Sender
    commit      (thread)   writes the states that the transfer reached             outbox
    follow                 what the broker says: claims, progress, recorded        incoming
    health, commands       the account of itself, and operators' wishes

Capture goes on without a broker, transfer goes on without a camera; the outbox lies between them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import cv2

from edge_device.action_steps import Instruments
from edge_device.actions import Actions
from edge_device.calibration import load_calibration
from edge_device.cameras import Camera, open_camera
from edge_device.capture import Pipeline, Prepared
from edge_device.commands import Commands
from edge_device.health import Reporter, Standing
from edge_device.incoming import Incoming
from edge_device.microscope import Microscope
from edge_device.outbox import Outbox, OutboxRow
from edge_device.outbox.memory import known_store, remember_store
from edge_device.outbox.reading import CapturedSources
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.overrides import load_overrides
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from edge_device.transfer import Transfer
from service_runtime.boot import new_id
from service_runtime.clock import ClockExchange
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    Connected,
    ConnectionLostError,
    Disconnected,
    Message,
    Presence,
)
from service_runtime.session_roles import device_session
from service_runtime.systemd import Systemd
from wire_protocol import json_messages as jm
from wire_protocol import machine_io as io
from wire_protocol.topics import Kind, Topics

#: Captures between the microscope and the disk; when full the microscope waits.
_PREPARED = 8
#: Messages handled in a row before other tasks get a turn.
_MESSAGES_AT_ONCE = 32
#: The latest tombstones that another records store is asked about.
_TOMBSTONES = 50_000


class RestartAskedError(Exception):
    """An operator wants the agent to start again; it has put its work away."""

    exit_code = 75


async def run_edge(
    settings: EdgeSettings, stop: asyncio.Event, *, exit_when_done: bool = False
) -> None:
    """Runs until `stop`, or until the camera is exhausted and all is recorded.

    Raises OutboxError, CameraError or CalibrationError before anything runs, and RestartAskedError
    at the end where that was asked for.
    """
    cv2.setNumThreads(1)  # one capture thread is enough; a pool would fight with everything else
    outbox = Outbox(settings.data_dir / "outbox")
    sources = CapturedSources(outbox.folder)
    try:
        camera = open_camera(settings.camera, sources, max_bytes=settings.encode.max_bytes)
        async with asyncio.TaskGroup() as tasks:
            agent = Agent(settings, outbox, camera, tasks)
            await agent.run(stop, exit_when_done=exit_when_done)
        if agent.is_to_restart:
            raise RestartAskedError("stopped, to be started again as an operator asked")
    finally:
        sources.close()
        outbox.close()


class Agent:
    """The stages and what they share; all methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: EdgeSettings,
        outbox: Outbox,
        camera: Camera,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        topics = Topics(settings.broker.root)
        place = {"site": settings.site, "device": settings.device}
        self._status = jm.Status(
            state=jm.Presence.ONLINE, incarnation=new_id(), program="edge", id=settings.device
        )
        self._session = MqttSession(
            settings.broker,
            device_session(settings.site, settings.device),
            Presence(topics.build(Kind.DEVICE_STATUS, **place), self._status),
        )
        self.is_to_restart = False
        self._tasks = tasks
        self._news = asyncio.Event()
        self._disk = OutboxThread(outbox)
        self._owed = Owed()
        self._pipeline = Pipeline(
            settings, load_calibration(settings.data_dir), load_overrides(settings.data_dir)
        )
        self._microscope = Microscope(
            settings,
            camera,
            self._pipeline,
            self._owed,
            case_now=lambda: settings.case_id,
            on_change=self._changed,
        )
        self._systemd = Systemd()
        clock_topic = topics.build(Kind.CLOCK, peer="records")
        self._clock = ClockExchange(
            settings.device, lambda payload: self._session.send(clock_topic, payload, qos=0)
        )
        self._prepared: asyncio.Queue[Prepared | None] = asyncio.Queue(_PREPARED)
        self._keep_ended = False
        self._last_scores: dict[str, float] = {}
        self._transfer = Transfer(
            settings,
            topics,
            session=self._session,
            disk=self._disk,
            owed=self._owed,
            tasks=tasks,
            clock=self._clock,
            on_settled=self._changed,
        )
        self._reporter = Reporter(settings, topics, self._session, self._disk, self._standing)
        self._actions = Actions(
            Instruments(
                settings,
                self._microscope,
                self._pipeline,
                self._disk,
                self._reporter,
                self._changed,
                self._restart,
            )
        )
        self._commands = Commands(
            self._session, self._disk, topics.build(Kind.REPLY, **place), self._actions
        )
        self._incoming = Incoming(
            topics,
            **place,
            tell=self._transfer.tell,
            on_store=self._on_store,
            clock=self._clock,
            commands=self._commands,
        )
        self._store_id = known_store(outbox)
        self._log = get_log("edge").bind(device=settings.device)

    async def run(self, stop: asyncio.Event, *, exit_when_done: bool) -> None:
        """Starts every stage, waits for the end, and stops them so that nothing is lost."""
        opening = self._disk.outbox.opening
        unfinished = await self._disk.call(Outbox.unfinished)
        self._log.info(
            "outbox_open",
            outbox_id=opening.outbox_id,
            unrecorded=len(unfinished),
            files_removed=opening.files_removed,
        )
        for row in unfinished:
            self._transfer.take(row)
        named = {
            "session": self._session.run(),
            "follow": self._follow(),
            "commit": self._disk.commit_changes(self._transfer.committed),
            "health": self._reporter.run(),
            "commands": self._commands.run(),
            "clock": self._clock.run(),
            "watchdog": self._systemd.watch(lambda: self._microscope.is_alive),
        }
        running = [self._tasks.create_task(job, name=name) for name, job in named.items()]
        capture = self._tasks.create_task(self._capture(), name="capture")
        keep = self._tasks.create_task(self._keep(), name="keep")
        self._systemd.ready()
        try:
            await self._until_over(stop, exit_when_done=exit_when_done)
            self._log.info("stopping", owed=len(self._owed))
            self._systemd.stopping()
            self._microscope.stop()
            self._disk.hurry()
            await asyncio.gather(capture, keep)
            await self._reporter.publish()
            await self._session.close()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._disk.close()
        finally:
            self._transfer.stop()
            self._microscope.close()
            self._disk.shut()
        self._log.info("stopped", owed=len(self._owed))

    # --- the stages, in order -----------------------------------------------------------------

    async def _capture(self) -> None:
        """Capture, gate, encode."""
        while (prepared := await self._microscope.next()) is not None:
            await self._prepared.put(prepared)
        await self._prepared.put(None)

    async def _keep(self) -> None:
        """Outbox, then the transfer; captures that came meanwhile are committed together."""
        while (first := await self._prepared.get()) is not None:
            batch = [first]
            while not self._prepared.empty():
                more = self._prepared.get_nowait()
                if more is None:
                    self._prepared.put_nowait(None)
                    break
                batch.append(more)
            try:
                rows = await self._disk.add([prepared.capture for prepared in batch])
            except DiskGivenUpError:  # a file is captured again at the next start
                self._log.error("stopped_with_captures_not_kept", captures=len(batch))
                for prepared in batch:
                    if prepared.order is not None:
                        prepared.order.give_up("the disk refuses and the agent stops")
                continue
            for prepared, row in zip(batch, rows, strict=True):
                self._kept(prepared, row)
            self._changed()
        self._keep_ended = True
        self._changed()

    def _kept(self, prepared: Prepared, row: OutboxRow | None) -> None:
        """This capture is on disk, or was before."""
        scores = {} if prepared.scores is None else prepared.scores.by_name()
        self._last_scores = scores or self._last_scores
        if row is None:
            self._log.warning("captured_before")
            if prepared.order is not None:
                prepared.order.came_to_nothing()
                self._microscope.look()
            return
        refusal = row.refusal
        words = "" if refusal is None else refusal.text
        self._log.info(
            "captured",
            image_id=row.image_id,
            seq=row.seq,
            size_bytes=row.size_bytes,
            refused=words,
        )
        ends_here = refusal is not None
        self._transfer.stamps.queued(row.image_id, prepared.stamps_ns, ends_here=ends_here)
        self._transfer.take(row)
        if prepared.order is not None:
            result = {"image_id": row.image_id, "seq": row.seq, "case_id": row.case_id}
            warned = [warning.text for warning in prepared.warnings]
            prepared.order.came_to(
                result | {"refused": words, "warnings": warned, "scores": scores}
            )

    async def _follow(self) -> None:
        """Offer, claim, chunks, recorded: what the broker says, in order, told to the transfer."""
        in_a_row = 0
        async for event in self._session.events():
            match event:
                case Message():
                    self._incoming.receive(event)
                case Connected(limits=limits):
                    try:
                        await self._session.subscribe(self._incoming.subscriptions())
                        await self._session.announce(self._status_now())
                    except ConnectionLostError:
                        continue
                    self._transfer.connected(limits)
                    self._clock.connected()
                    await self._reporter.publish()
                case Disconnected():
                    self._incoming.forget_presence()
                    self._clock.disconnected()
                    self._transfer.tell(io.Disconnected())
            in_a_row += 1
            if in_a_row % _MESSAGES_AT_ONCE == 0:
                await asyncio.sleep(0)

    # --- around them --------------------------------------------------------------------------

    async def _until_over(self, stop: asyncio.Event, *, exit_when_done: bool) -> None:
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            while not stop.is_set():
                if self.is_to_restart or (exit_when_done and self._is_done()):
                    return
                self._news.clear()
                news = asyncio.create_task(self._news.wait(), name="news")
                await asyncio.wait({stopped, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
        finally:
            stopped.cancel()

    def _is_done(self) -> bool:
        kept = self._microscope.is_exhausted and self._keep_ended
        return kept and len(self._owed) == 0 and self._disk.is_settled

    def _changed(self) -> None:
        self._news.set()
        self._reporter.changed()
        if self._microscope.halted:
            self._microscope.look()
        if self._microscope.halted != self._status.reason and self._session.is_connected:
            self._tasks.create_task(self._announce(self._status_now()), name="announce")

    def _status_now(self) -> jm.Status:
        self._status = self._status.model_copy(update={"reason": self._microscope.halted})
        return self._status

    async def _announce(self, status: jm.Status) -> None:
        with suppress(ConnectionLostError):
            await self._session.announce(status)

    def _standing(self) -> Standing:
        offset = self._clock.offset()
        calibration = self._pipeline.calibration
        return Standing(
            halted=self._microscope.halted,
            case_id=self._settings.case_id,
            last_scores=self._last_scores,
            link_bytes_per_s=self._transfer.sender.pace.rate or None,
            clock_offset_ns=None if offset is None else offset.offset_ns,
            clock_error_ns=None if offset is None else offset.error_ns,
            calibration_version=0 if calibration is None else calibration.version,
            overrides=self._pipeline.overrides.encode,
        )

    def _restart(self) -> None:
        self.is_to_restart = True
        self._news.set()

    def _on_store(self, store_id: str) -> None:
        """Another records store than the last one may know less: ask about what it should have."""
        if store_id == self._store_id:
            return
        before, self._store_id = self._store_id, store_id
        self._tasks.create_task(self._ask_store(store_id, before), name="ask store")

    async def _ask_store(self, store_id: str, before: str) -> None:
        with suppress(DiskGivenUpError):  # the next start finds the store to be another one again
            if before:
                rows = await self._disk.patiently(lambda outbox: outbox.recorded(_TOMBSTONES))
                self._log.warning("another_records_store", store_id=store_id, tombstones=len(rows))
                for row in rows:
                    self._transfer.ask_about(row)
            await self._disk.patiently(lambda outbox: remember_store(outbox, store_id))
