"""The device's end of hemowire's own hand-off: the real Sender and session over images in memory.

No outbox stands behind it: what it is told to persist it takes for persisted.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.baselines.way import EndSettings, Sent
from service_runtime.boot import boot_id, monotonic_ns, monotonic_s, new_attempt, new_id, wall_time
from service_runtime.machine_drive import MachineDrive, published_code
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Subscription
from wire_protocol import codec
from wire_protocol import machine_io as io
from wire_protocol.json_messages import Presence as PresenceState
from wire_protocol.json_messages import Status
from wire_protocol.manifest import ContentType, Manifest
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics


class HemowireSending:
    """The device's end: a Sender over images in memory."""

    def __init__(self, settings: EndSettings) -> None:
        self._topics = Topics(settings.broker.root)
        self._device = settings.device
        self._outbox_id = new_id()
        self._sender = Sender(
            site=settings.site,
            device=settings.device,
            outbox_id=self._outbox_id,
            topics=self._topics,
            random64=new_attempt,
        )
        self._session = MqttSession(settings.broker, settings.device_session())
        self._drive: MachineDrive[io.SenderEvent, io.SenderEffect] = MachineDrive(
            self._sender, self._perform, io.Tick
        )
        self._images: dict[str, bytes] = {}
        self._ends: dict[str, asyncio.Future[str]] = {}
        #: How often each image's first byte was read: more than once, it was sent from there again.
        self._begun: Counter[str] = Counter()
        self._is_ready = asyncio.Event()
        self._seq = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected within this block."""
        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(self._session.run()), tasks.create_task(self._follow())]
            try:
                await self._is_ready.wait()
                yield
            finally:
                self._drive.stop()
                for job in jobs:
                    job.cancel()

    async def send(self, image: bytes) -> Sent:
        """Ends when a worker has said Stored, or the image was refused."""
        self._seq += 1
        manifest = Manifest(
            image_id=secrets.token_hex(16),
            outbox_id=self._outbox_id,
            seq=self._seq,
            sha256=hashlib.sha256(image).hexdigest(),
            size_bytes=len(image),
            content_type=ContentType.JPEG,
            width_px=1,
            height_px=1,
            captured_at=wall_time(),
            clock_synced=False,
            captured_ns=monotonic_ns(),
            boot_id=boot_id(),
        )
        end = self._ends[manifest.image_id] = asyncio.get_running_loop().create_future()
        self._images[manifest.image_id] = image
        before = self._sender.counts.resent_bytes
        self._drive.tell(io.Queued(io.OutboxItem(manifest)))
        failure = await end
        self._drive.tell(io.Withdrawn(manifest.image_id))
        # Approximate where several are under way: what was sent again may be another's.
        again = self._sender.counts.resent_bytes - before
        begun = self._begun.pop(manifest.image_id)
        # An image that rides in its offer is no chunk, and is not in those counts.
        again = max(again, (begun - 1) * len(image))
        return Sent(len(image) + again, begun, failure)

    async def _follow(self) -> None:
        filters = [
            self._topics.build(Kind.TRANSFER, device=self._device),
            self._topics.every(Kind.WORKER_STATUS),
        ]
        async for event in self._session.events():
            match event:
                case Connected(limits=limits):
                    asked_s = monotonic_s()
                    await self._session.subscribe([Subscription(topic) for topic in filters])
                    allowed = io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum)
                    self._drive.tell(io.Connected(allowed, monotonic_s() - asked_s))
                    self._is_ready.set()
                case Disconnected():
                    self._drive.tell(io.Disconnected())
                case Message():
                    self._hear(event)

    def _hear(self, message: Message) -> None:
        parsed = self._topics.parse(message.topic)
        if parsed is not None and parsed.kind is Kind.WORKER_STATUS:
            status = Status.from_bytes(message.payload)
            online = status.state is PresenceState.ONLINE
            self._drive.tell(io.WorkerStatus(status.id, online, clean=status.is_goodbye))
        else:
            self._drive.tell(io.FromWorker(codec.decode(message.payload)))  # type: ignore[arg-type]  # the topic's own kinds

    def _perform(self, effect: io.SenderEffect) -> None:
        match effect:
            case io.Publish(token=token, topic=topic, payload=payload):
                told = partial(self._published, token)
                self._session.send(topic, payload, told, qos=effect.qos, expiry_s=effect.expiry_s)
            case io.ReadChunk(image_id=image_id, offset=offset, size=size):
                data = self._images[image_id][offset : offset + size]
                self._begun[image_id] += offset == 0
                self._drive.tell(io.ChunkRead(image_id, offset, data))
            case io.Persist(image_id=image_id, state=state):
                self._drive.tell(io.Persisted(image_id, state))
                if state is io.OutboxState.STORED:
                    self._end(image_id, "")
            case io.MakePreview(image_id=image_id):
                self._drive.tell(io.PreviewMade(image_id, None))
            case io.CheckRow(image_id=image_id):
                self._drive.tell(io.RowChecked(image_id, True))
            case io.RejectOnDevice(image_id=image_id, detail=detail):
                self._end(image_id, detail)
            case io.Stamp() | io.RepublishRejection():
                pass

    def _end(self, image_id: str, failure: str) -> None:
        self._images.pop(image_id, None)
        end = self._ends.pop(image_id, None)
        if end is not None and not end.done():
            end.set_result(failure)

    def _published(self, token: int, code: int) -> None:
        told = published_code(code)
        if told is not None:
            self._drive.tell(io.Published(token, told))
