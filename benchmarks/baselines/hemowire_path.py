"""hemowire's own hand-off from memory to the durable file, in the same harness as the other ways.

The real Sender, Receiver and session; left out are what no other way here has either: outbox,
manifest, records store. `hemowire bench` measures the whole pipeline instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.baselines.baseline import Facts, Method
from benchmarks.baselines.hemowire_sending import HemowireSending
from benchmarks.baselines.storing import Keeper
from benchmarks.baselines.way import EndSettings
from service_runtime.boot import monotonic_ns, new_attempt, new_id
from service_runtime.machine_drive import MachineDrive, published_code
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Presence, Subscription
from service_runtime.session_roles import worker_session
from wire_protocol import codec
from wire_protocol import machine_io as io
from wire_protocol.json_messages import Presence as PresenceState
from wire_protocol.json_messages import Status
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics

FACTS = Facts(
    Method.HEMOWIRE,
    "hemowire's hand-off",
    "offer, claim, chunks with the gaps asked for, Stored after the fsync; resumes after a cut",
    "in this harness without outbox and records store, as the other ways are",
)


class HemowireReceiving:
    """The worker's end: a Receiver in front of the Keeper."""

    def __init__(self, settings: EndSettings, keeper: Keeper) -> None:
        self._keeper = keeper
        self._topics = Topics(settings.broker.root)
        self._worker = f"links-{new_id()[:8]}"
        receiver = Receiver(worker=self._worker, topics=self._topics, random64=new_attempt)
        status = Status(
            state=PresenceState.ONLINE, incarnation=new_id(), program="worker", id=self._worker
        )
        topic = self._topics.build(Kind.WORKER_STATUS, worker=self._worker)
        self._session = MqttSession(
            settings.broker, worker_session(self._worker), Presence(topic, status)
        )
        self._drive: MachineDrive[io.ReceiverEvent, io.ReceiverEffect] = MachineDrive(
            receiver, self._perform, io.Tick
        )
        self._is_ready = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Takes offers within this block."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            jobs = [tasks.create_task(self._session.run()), tasks.create_task(self._follow())]
            try:
                await self._is_ready.wait()
                yield 0
            finally:
                self._drive.stop()
                await self._session.close()
                for job in jobs:
                    job.cancel()

    async def _follow(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected(limits=limits):
                    ingest = self._topics.build(Kind.INGEST, worker=self._worker, device="+")
                    await self._session.subscribe([Subscription(ingest)])
                    await self._session.subscribe([Subscription(self._topics.shared_offers())])
                    await self._session.announce()
                    allowed = io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum)
                    self._drive.tell(io.Connected(allowed))
                    self._drive.tell(io.Readiness(True))
                    self._is_ready.set()
                case Disconnected():
                    self._drive.tell(io.Disconnected())
                case Message():
                    self._hear(event)

    def _hear(self, message: Message) -> None:
        parsed = self._topics.parse(message.topic)
        assert parsed is not None, message.topic
        levels = parsed.levels
        told = codec.decode(message.payload)
        self._drive.tell(io.FromDevice(levels.get("site", ""), levels["device"], told))  # type: ignore[arg-type]  # the topic's own kinds

    def _perform(self, effect: io.ReceiverEffect) -> None:
        match effect:
            case io.Publish(token=token, topic=topic, payload=payload):
                told = partial(self._published, token)
                self._session.send(topic, payload, told, qos=effect.qos, expiry_s=effect.expiry_s)
            case io.Store():
                assert self._tasks is not None
                self._tasks.create_task(self._store(effect, monotonic_ns()))
            case io.Fetch(key=key):
                self._drive.tell(io.PutFailed(key, True, "unknown_blob"))
            case io.Stamp():
                pass

    async def _store(self, store: io.Store, received_ns: int) -> None:
        def put() -> None:
            self._drive.tell(io.Put(store.key))

        digest = store.manifest.sha256
        await self._keeper.keep(store.data, received_ns, put, checked_sha256=digest)
        self._drive.tell(io.Freed(store.key))

    def _published(self, token: int, code: int) -> None:
        told = published_code(code)
        if told is not None:
            self._drive.tell(io.Published(token, told))


def sending(settings: EndSettings) -> HemowireSending:
    """The device's end."""
    return HemowireSending(settings)


def receiving(settings: EndSettings, keeper: Keeper) -> HemowireReceiving:
    """The other end."""
    return HemowireReceiving(settings, keeper)
