"""The microscope agent on one page: capture -> gate -> encode -> outbox -> offer and claim -> chunks -> recorded.

    microscope  (thread)   takes a shot when due or asked for, evens, gates, encodes it   microscope, capture
    capture                the case that it belongs to                             cases, keeping
    keep        (thread)   commits bytes and row: from here on nothing is lost     keeping, outbox
    transfer               offers, sends chunks, asks the records store            transfer, Sender
    commit      (thread)   writes the states that the transfer reached             outbox
    follow                 what the broker says: claims, progress, recorded        incoming
    health, commands, bench, clocks                                                around them

Capture goes on without a broker, transfer goes on without a camera; the outbox lies between them.
(Over 250 lines: every part of the agent and every stage in its order, in one place.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import cv2

from edge_device.actions import Actions
from edge_device.actions.instruments import Instruments
from edge_device.actions.outbox_actions import OutboxActions
from edge_device.bench.agent_on_bench import AgentOnBench
from edge_device.bench.recent import RecentCaptures
from edge_device.bench.server import BenchServer
from edge_device.calibration import load_calibration
from edge_device.cameras import Camera, open_camera
from edge_device.capture import Pipeline, Prepared
from edge_device.cases import CaseDesk, Refiling
from edge_device.commands import Commands
from edge_device.health import Reporter, Standing
from edge_device.incoming import Incoming
from edge_device.keeping import Keeping
from edge_device.microscope import Microscope
from edge_device.outbox import Outbox, OutboxRow
from edge_device.outbox.limits import Excess
from edge_device.outbox.memory import known_store
from edge_device.outbox.reading import CapturedSources
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.overrides import load_overrides
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from edge_device.store_change import ask_other_store
from edge_device.transfer import Transfer
from edge_device.wall_clock import watch_wall_clock
from service_runtime.boot import monotonic_s, new_id
from service_runtime.clock import ClockExchange
from service_runtime.known_time import KnownTime
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

#: Messages handled in a row before other tasks get a turn.
_MESSAGES_AT_ONCE = 32


class RestartAskedError(Exception):
    """An operator wants the agent to start again; it has put its work away."""

    exit_code = 75


async def run_edge(
    settings: EdgeSettings, stop: asyncio.Event, *, exit_when_done: bool = False
) -> None:
    """Runs until `stop`, or until the camera is exhausted and all is recorded.

    Raises OutboxError, CameraError, CalibrationError or BenchError before anything runs, and
    RestartAskedError at the end where that was asked for.
    """
    cv2.setNumThreads(1)  # one capture thread is enough; a pool would fight with everything else
    outbox = Outbox(settings.data_dir / "outbox")
    sources = CapturedSources(outbox.folder)
    try:
        camera = open_camera(settings.camera, sources, max_bytes=settings.encode.max_bytes)
        async with asyncio.TaskGroup() as tasks:
            try:
                agent = Agent(settings, outbox, camera, tasks)
            except BaseException:
                camera.close()
                raise
            await agent.run(stop, exit_when_done=exit_when_done)
        if agent.is_to_restart:
            raise RestartAskedError("stopped, to be started again as an operator asked")
    finally:
        sources.close()
        outbox.close()


class Agent:
    """The stages and what they share; all methods belong to the event loop's thread."""

    def __init__(
        self, settings: EdgeSettings, outbox: Outbox, camera: Camera, tasks: asyncio.TaskGroup
    ) -> None:
        topics = Topics(settings.broker.root)
        place = {"site": settings.site, "device": settings.device}
        self.is_to_restart = False
        self._settings = settings
        self._tasks = tasks
        self._news = asyncio.Event()
        self._log = get_log("edge").bind(device=settings.device)
        self._systemd = Systemd()
        self._known_time = KnownTime(settings.data_dir / "known_time")
        self._status = jm.Status(
            state=jm.Presence.ONLINE, incarnation=new_id(), program="edge", id=settings.device
        )
        self._session = MqttSession(
            settings.broker,
            device_session(settings.site, settings.device, known_time_s=self._known_time.at_s),
            Presence(topics.build(Kind.DEVICE_STATUS, **place), self._status),
        )
        clock_topic = topics.build(Kind.CLOCK, peer="records")
        self._clock = ClockExchange(
            settings.device, lambda payload: self._session.send(clock_topic, payload, qos=0)
        )
        self._disk = OutboxThread(outbox)
        self._owed = Owed()
        self._refiling = Refiling(
            self._session,
            self._disk,
            topics,
            site=settings.site,
            device=settings.device,
            store_id=known_store(outbox),
        )
        self._cases = CaseDesk(
            settings.cases,
            self._disk,
            is_live=camera.is_live,
            fallback=settings.case_id,
            on_change=self._changed,
            on_move=self._refiling.moved,
        )
        self._pipeline = Pipeline(
            settings,
            calibration=load_calibration(settings.data_dir),
            overrides=load_overrides(settings.data_dir),
            is_live=camera.is_live,
            reads_codes=self._cases.reads_codes,
        )
        self._microscope = Microscope(
            settings,
            camera,
            self._pipeline,
            self._owed,
            other_reason_to_halt=lambda: self._cases.reason_to_halt,
            make_room=self._make_room,
            on_change=self._changed,
        )
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
        self._keeping = Keeping(
            settings.device,
            microscope=self._microscope,
            cases=self._cases,
            disk=self._disk,
            transfer=self._transfer,
            owed=self._owed,
            on_kept=self._kept,
            on_change=self._changed,
        )
        self._outbox = OutboxActions(self._disk, self._transfer, self._owed)
        self._recent = RecentCaptures(self._disk)
        self._reporter = Reporter(settings, topics, self._session, self._disk, self._standing)
        self._actions = Actions(
            Instruments(
                settings=settings,
                microscope=self._microscope,
                pipeline=self._pipeline,
                cases=self._cases,
                disk=self._disk,
                outbox=self._outbox,
                recent=self._recent,
                reporter=self._reporter,
                changed=self._changed,
                restart=self._restart,
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
            refiling=self._refiling,
            commands=self._commands,
        )
        self._bench = AgentOnBench(
            settings,
            session=self._session,
            microscope=self._microscope,
            pipeline=self._pipeline,
            cases=self._cases,
            transfer=self._transfer,
            owed=self._owed,
            reporter=self._reporter,
            recent=self._recent,
            actions=self._actions,
        )
        self._server = BenchServer(self._bench, settings.bench, settings.data_dir)
        self._store_id = known_store(outbox)

    async def run(self, stop: asyncio.Event, *, exit_when_done: bool) -> None:
        """Starts every stage, waits for the end, and stops them so that nothing is lost."""
        await self._take_up()
        named = {
            "session": self._session.run(),
            "follow": self._follow(),
            "commit": self._disk.commit_changes(self._committed),
            "health": self._reporter.run(),
            "commands": self._commands.run(),
            "cases": self._cases.run(),
            "refiling": self._refiling.run(),
            "clock": self._clock.run(),
            "ages": self._outbox.keep_ages(self._settings.outbox),
            "wall clock": watch_wall_clock(self._outbox.restamp, self._known_time, self._disk),
            "bench": self._server.run(),
            "watchdog": self._systemd.watch(lambda: self._microscope.is_alive),
        }
        running = [self._tasks.create_task(job, name=name) for name, job in named.items()]
        capture = self._tasks.create_task(self._keeping.capture(), name="capture")
        keep = self._tasks.create_task(self._keeping.keep(), name="keep")
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
            self._recent.close()
            self._disk.shut()
        self._log.info("stopped", owed=len(self._owed))

    async def _take_up(self) -> None:
        """What an earlier life left: images that are owed, a case that was open."""
        opening = self._disk.outbox.opening
        unfinished = await self._disk.call(Outbox.unfinished)
        self._log.info(
            "outbox_open",
            outbox_id=opening.outbox_id,
            unrecorded=len(unfinished),
            files_removed=opening.files_removed,
            strays=opening.strays,
            damaged=opening.damaged,
        )
        for row in unfinished:
            self._transfer.stamps.taken_up(row.image_id, row.captured_ns, row.boot_id)
            self._transfer.take(row)
        with suppress(DiskGivenUpError):
            await self._cases.start()

    # --- the stages, in order -----------------------------------------------------------------

    def _kept(self, prepared: Prepared, row: OutboxRow) -> None:
        """A capture is on disk: the people hear of it."""
        self._recent.kept(prepared, row)
        if prepared.scores is not None:
            self._last_scores = prepared.scores.by_name()
        self._bench.captured(None if prepared.scores is None else prepared.scores.focus)

    def _committed(self, changes: Sequence[io.Persist]) -> None:
        """These states are on disk."""
        self._recent.committed(changes)
        self._transfer.committed(changes)

    async def _follow(self) -> None:
        """Offer, claim, chunks, recorded: what the broker says, in order, told to the transfer."""
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
                        await self._session.announce(self._status_now())
                    except ConnectionLostError:
                        continue
                    self._transfer.connected(limits, round_trip_s)
                    self._clock.connected()
                    self._refiling.connected()
                    self._bench.note()
                    await self._reporter.publish()
                case Disconnected(reason=reason):
                    self._incoming.forget_presence()
                    self._clock.disconnected()
                    self._refiling.disconnected()
                    self._transfer.tell(io.Disconnected())
                    self._bench.away = reason
                    self._bench.note()
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
        return self._keeping.is_done and len(self._owed) == 0 and self._disk.is_settled

    def _changed(self) -> None:
        """Something is different that people see, or that somebody waits for."""
        halted = self._microscope.halted
        self._news.set()
        self._reporter.changed()
        self._bench.note()
        self._systemd.status(halted or "captures go on")
        if halted:
            self._microscope.look()
        if halted != self._status.reason and self._session.is_connected:
            self._tasks.create_task(self._announce(self._status_now()), name="announce")

    def _status_now(self) -> jm.Status:
        self._status = self._status.model_copy(update={"reason": self._microscope.halted})
        return self._status

    async def _announce(self, status: jm.Status) -> None:
        with suppress(ConnectionLostError):
            await self._session.announce(status)

    def _standing(self) -> Standing:
        offset = self._clock.offset()
        calibration, flat = self._pipeline.calibration, self._pipeline.flat_field
        case = self._cases.current
        return Standing(
            halted=self._microscope.halted,
            case_id=self._settings.case_id if case is None else case.case_id,
            last_scores=self._last_scores,
            link_bytes_per_s=self._transfer.sender.pace.rate or None,
            clock_offset_ns=None if offset is None else offset.offset_ns,
            clock_error_ns=None if offset is None else offset.error_ns,
            flat_field_version=0 if flat is None else flat.version,
            calibration_version=0 if calibration is None else calibration.version,
            overrides=self._pipeline.overrides.encode,
        )

    async def _make_room(self, wanted: Excess) -> int:
        dropped = await self._outbox.make_room(wanted, self._settings.outbox.drop_operator)
        await self._recent.refresh()
        return dropped

    def _restart(self) -> None:
        self.is_to_restart = True
        self._news.set()

    def _on_store(self, store_id: str) -> None:
        """Another records store than the last one may know less: ask about what it should have."""
        if store_id == self._store_id:
            return
        before, self._store_id = self._store_id, store_id
        asking = ask_other_store(
            store_id, before, self._disk, self._transfer, lambda: self._store_id == store_id
        )
        self._tasks.create_task(asking, name="ask store")
