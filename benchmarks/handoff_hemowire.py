"""hemowire's two ends for `benchmarks.handoff`, each a process that obeys its pipe: a device and a worker.

The device is the agent's own outbox, reader, Sender and session, without camera and records store;
the worker is the real intake, Receiver and archive stage, which lets go of an image once it is stored
instead of diagnosing it. (Over 250 lines: both ends, so that the words of their pipes stand in one file.)
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from cloud_worker.archive import Archive
from cloud_worker.archiving import Archiving, Image
from cloud_worker.intake import Intake
from cloud_worker.offers import Offers
from cloud_worker.settings import LimitSettings
from cloud_worker.stamps import Stamps as WorkerStamps
from edge_device.cases import Refiling
from edge_device.commands import Commands
from edge_device.incoming import Incoming
from edge_device.outbox import NewCapture, Outbox, OutboxRow
from edge_device.outbox_thread import OutboxThread
from edge_device.owed import Owed
from edge_device.settings import EdgeSettings
from edge_device.transfer import Transfer
from service_runtime.boot import boot_id, monotonic_ns, new_attempt, new_id, wall_time
from service_runtime.broker_settings import BrokerSettings
from service_runtime.clock import ClockExchange
from service_runtime.congestion import BY_LOSS
from service_runtime.log import configure_logging
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Presence
from service_runtime.session_roles import device_session, worker_session
from wire_protocol import json_messages as jm
from wire_protocol import machine_io as io
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType
from wire_protocol.messages import Outcome, Recorded
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage

SITE, DEVICE = "lab", "scope-1"
_STORE_ID = "0" * 32


@dataclass(frozen=True, slots=True)
class Round:
    """What one end saw of one round."""

    #: Monotonic, from the first image's start to the last one's end.
    elapsed_s: float
    #: Each image from its start to its end.
    latencies_s: tuple[float, ...]
    cpu_s: float


class TimedTransfer(Transfer):
    """Notes when each image was offered and when the worker said that it is stored."""

    offered_ns: dict[str, int]
    stored_ns: dict[str, int]
    progress: asyncio.Event

    def _perform(self, effect: io.SenderEffect) -> None:
        if isinstance(effect, io.Stamp) and effect.stage is Stage.OFFERED:
            self.offered_ns[effect.image_id] = monotonic_ns()
        elif isinstance(effect, io.Persist) and effect.state is OutboxState.STORED:
            self.stored_ns[effect.image_id] = monotonic_ns()
            self.progress.set()
        super()._perform(effect)


class DeviceEnd:
    """A microscope with a full outbox."""

    def __init__(
        self, broker: BrokerSettings, folder: Path, congestion: str | None, tasks: asyncio.TaskGroup
    ) -> None:
        topics = Topics(broker.root)
        settings = EdgeSettings.model_validate(
            {
                "site": SITE,
                "device": DEVICE,
                "data_dir": folder,
                "camera": {"kind": "simulated"},
                "broker": broker,
            }
        )
        status = jm.Status(
            state=jm.Presence.ONLINE, incarnation=new_id(), program="edge", id=DEVICE
        )
        self.session = MqttSession(
            broker,
            device_session(SITE, DEVICE, congestion=congestion),
            Presence(topics.build(Kind.DEVICE_STATUS, site=SITE, device=DEVICE), status),
        )
        self._outbox = Outbox(folder / "outbox")
        self._disk = OutboxThread(self._outbox)
        clock = ClockExchange(DEVICE, lambda _payload: None)
        self._transfer = TimedTransfer(
            settings,
            topics,
            session=self.session,
            disk=self._disk,
            owed=Owed(),
            tasks=tasks,
            clock=clock,
            on_settled=lambda: None,
        )
        self._transfer.offered_ns, self._transfer.stored_ns = {}, {}
        self._transfer.progress = asyncio.Event()
        self._incoming = Incoming(
            topics,
            site=SITE,
            device=DEVICE,
            tell=self._transfer.tell,
            on_store=lambda _store: None,
            clock=clock,
            refiling=Refiling(self.session, self._disk, topics, site=SITE, device=DEVICE),
            commands=cast(Commands, None),  # nobody sends any here
        )
        self._rows: list[OutboxRow] = []
        self.ready = asyncio.Event()
        tasks.create_task(self.session.run())
        tasks.create_task(self._follow())
        tasks.create_task(self._disk.commit_changes(self._transfer.committed))

    async def _follow(self) -> None:
        async for event in self.session.events():
            match event:
                case Message():
                    self._incoming.receive(event)
                case Connected(limits=limits):
                    asked_s = time.monotonic()
                    await self.session.subscribe(self._incoming.subscriptions())
                    round_trip_s = time.monotonic() - asked_s
                    await self.session.announce()
                    self._transfer.connected(limits, round_trip_s)
                    self.ready.set()
                case Disconnected(reason=reason):
                    raise RuntimeError(f"the broker went away in a round: {reason}")

    async def fill(self, images: int, size: int) -> None:
        """So many new images on disk, no two alike; nothing is sent yet."""
        body = os.urandom(size)
        captures = [
            NewCapture(
                source="",
                source_key=new_id(),
                content=os.urandom(32) + body[32:],
                captured_at=wall_time(),
                captured_ns=monotonic_ns(),
                boot_id=boot_id(),
                clock_synced=True,
                content_type=ContentType.JPEG,
                width_px=1440,
                height_px=900,
            )
            for _ in range(images)
        ]
        rows = await self._disk.add(captures)
        self._rows = [row for row in rows if row is not None]

    async def send(self, at_once: int) -> Round:
        """Sends what `fill` made; `at_once` images are given to the sender, 0 for all."""
        transfer, rows = self._transfer, self._rows
        transfer.offered_ns.clear()
        transfer.stored_ns.clear()
        cpu_s, started = time.process_time(), time.monotonic()
        for given, row in enumerate(rows):
            while at_once and given - len(transfer.stored_ns) >= at_once:
                await self._next_stored()
            transfer.take(row)
        while len(transfer.stored_ns) < len(rows):
            await self._next_stored()
        elapsed_s = time.monotonic() - started
        cpu_s = time.process_time() - cpu_s
        for row in rows:  # the records store has them: the device forgets them
            known = Recorded(
                image_id=row.image_id,
                sha256=row.sha256,
                outcome=Outcome.DIAGNOSED,
                store_id=_STORE_ID,
            )
            transfer.tell(io.FromRecords(known))
        while not self._disk.is_settled:  # noqa: ASYNC110  # no event tells, and no clock runs
            await asyncio.sleep(0.005)
        latencies = tuple(
            (transfer.stored_ns[row.image_id] - transfer.offered_ns[row.image_id]) / 1e9
            for row in rows
        )
        return Round(elapsed_s, latencies, cpu_s)

    async def _next_stored(self) -> None:
        self._transfer.progress.clear()
        await self._transfer.progress.wait()

    def close(self) -> None:
        """Ends the threads."""
        self._transfer.stop()
        self._disk.shut()


class WorkerEnd:
    """Stores what comes, in the archive of the round."""

    def __init__(self, broker: BrokerSettings, tasks: asyncio.TaskGroup) -> None:
        name = f"worker-{new_id()[:8]}"
        topics = Topics(broker.root)
        status = jm.Status(
            state=jm.Presence.ONLINE, incarnation=new_id(), program="worker", id=name
        )
        self._name, self._status, self._tasks = name, status, tasks
        self.session = MqttSession(
            broker,
            worker_session(name),
            Presence(topics.build(Kind.WORKER_STATUS, worker=name), status),
        )
        self._intake = Intake(
            name,
            receiver=Receiver(worker=name, topics=topics, random64=new_attempt),
            session=self.session,
            topics=topics,
            stamps=WorkerStamps(name),
            take_image=self._take,
        )
        self._offers = Offers(name, self.session, topics, self._intake, _no_probe)
        self._archiving: Archiving | None = None
        self.ready = asyncio.Event()
        tasks.create_task(self.session.run())
        tasks.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self.session.events():
            match event:
                case Message():
                    self._intake.receive(event)
                case Connected(limits=limits):
                    await self._offers.connected(limits, self._status)
                    self.ready.set()
                case Disconnected(reason=reason):
                    raise RuntimeError(f"the broker went away in a round: {reason}")

    def archive_in(self, folder: Path) -> None:
        """The next round's archive."""
        self.close()
        self._archiving = Archiving(
            Archive(str(folder), self._name),
            LimitSettings(),
            tell=self._intake.tell,
            on_away=self._offers.archive_failed,
            counts=Counter(),
        )

    def _take(self, effect: io.Store | io.Fetch) -> None:
        assert isinstance(effect, io.Store), "nothing is stored before a round"
        image = Image(
            effect.key,
            effect.site,
            effect.device,
            effect.attempt,
            effect.manifest,
            effect.suspect,
        )
        self._tasks.create_task(self._store(image, effect.data))

    async def _store(self, image: Image, data: bytes | bytearray) -> None:
        assert self._archiving is not None
        await self._archiving.put(image, data)
        self._intake.tell(io.Freed(image.key))

    def close(self) -> None:
        """Ends the threads."""
        if self._archiving is not None:
            self._archiving.close()


async def _no_probe() -> None:
    """The archive of a round is not probed."""


def device_process(pipe: Connection, broker: BrokerSettings, folder: Path, bbr: bool) -> None:
    """Obeys ("fill", images, size), ("send", at_once) and ("end",)."""
    configure_logging("error")
    asyncio.run(_device(pipe, broker, folder, BY_LOSS if bbr else None))


async def _device(
    pipe: Connection, broker: BrokerSettings, folder: Path, congestion: str | None
) -> None:
    async with asyncio.TaskGroup() as tasks:
        end = DeviceEnd(broker, folder, congestion, tasks)
        await end.ready.wait()
        pipe.send("ready")
        while True:
            order, *values = await asyncio.to_thread(pipe.recv)
            if order == "fill":
                await end.fill(*values)
                pipe.send("filled")
            elif order == "send":
                pipe.send(await end.send(*values))
            else:
                break
        end.close()
        raise SystemExit(0)


def worker_process(pipe: Connection, broker: BrokerSettings) -> None:
    """Obeys ("archive", folder), ("cpu",), ("forget", folder) and ("end",)."""
    configure_logging("error")
    asyncio.run(_worker(pipe, broker))


async def _worker(pipe: Connection, broker: BrokerSettings) -> None:
    async with asyncio.TaskGroup() as tasks:
        end = WorkerEnd(broker, tasks)
        await end.ready.wait()
        pipe.send("ready")
        while True:
            order, *values = await asyncio.to_thread(pipe.recv)
            if order == "archive":
                end.archive_in(*values)
                pipe.send("set")
            elif order == "cpu":
                pipe.send(time.process_time())
            elif order == "forget":
                await asyncio.to_thread(shutil.rmtree, *values)
                pipe.send("forgotten")
            else:
                break
        end.close()
        raise SystemExit(0)
