"""Many microscopes in one process for `benchmarks.end_to_end`: real Senders and sessions, images in memory.

They cost an engine on the same cores little, and have no outbox: what is measured begins when an
image is given to the Sender.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from functools import partial

from service_runtime.boot import boot_id, monotonic_ns, new_attempt, new_id, wall_time
from service_runtime.broker_settings import BrokerSettings
from service_runtime.machine_drive import MachineDrive, published_code
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Message, Subscription
from service_runtime.session_roles import device_session
from wire_protocol import machine_io as io
from wire_protocol.codec import decode
from wire_protocol.json_messages import Presence, Status
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType, Manifest
from wire_protocol.messages import InquiryAnswer, Outcome, Recorded, TransferMessage
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics

SITE = "lab"


class LightDevice:
    """One microscope; `forget` stands for the records store."""

    def __init__(self, broker: BrokerSettings, device: str, tasks: asyncio.TaskGroup) -> None:
        self.ready = asyncio.Event()
        self.stored: set[str] = set()
        self.changed = asyncio.Event()
        self._topics = Topics(broker.root)
        self._device = device
        self._session = MqttSession(broker, device_session(SITE, device))
        self._outbox_id = new_id()
        self._seq = 0
        self._bytes: dict[str, bytes] = {}
        self._sender = Sender(
            site=SITE,
            device=device,
            outbox_id=self._outbox_id,
            topics=self._topics,
            random64=new_attempt,
        )
        self._drive: MachineDrive[io.SenderEvent, io.SenderEffect] = MachineDrive(
            self._sender, self._perform, io.Tick
        )
        tasks.create_task(self._session.run(), name=device)
        tasks.create_task(self._follow(), name=f"{device} messages")

    def send(self, data: bytes, width_px: int, height_px: int, um_per_px: float) -> str:
        """Captured now: the image's id."""
        self._seq += 1
        manifest = Manifest(
            image_id=secrets.token_hex(16),
            outbox_id=self._outbox_id,
            seq=self._seq,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            content_type=ContentType.JPEG,
            width_px=width_px,
            height_px=height_px,
            um_per_px=um_per_px,
            captured_at=wall_time(),
            clock_synced=True,
            captured_ns=monotonic_ns(),
            boot_id=boot_id(),
        )
        self._bytes[manifest.image_id] = data
        self._drive.tell(io.Queued(io.OutboxItem(manifest)))
        return manifest.image_id

    def forget(self, image_id: str) -> None:
        """Its outcome is known."""
        data = self._bytes.pop(image_id)
        recorded = Recorded(
            image_id=image_id,
            sha256=hashlib.sha256(data).hexdigest(),
            outcome=Outcome.DIAGNOSED,
            store_id="0" * 32,
        )
        self._drive.tell(io.FromRecords(recorded))

    async def stop(self) -> None:
        """Disconnects."""
        self._drive.stop()
        await self._session.close()

    async def _follow(self) -> None:
        own = self._topics.build(Kind.TRANSFER, device=self._device)
        async for event in self._session.events():
            match event:
                case Connected(limits=limits):
                    every = self._topics.every(Kind.WORKER_STATUS)
                    await self._session.subscribe([Subscription(own), Subscription(every)])
                    allowed = io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum)
                    self._drive.tell(io.Connected(allowed))
                    self.ready.set()
                case Disconnected():
                    self._drive.tell(io.Disconnected())
                case Message():
                    self._receive(event)

    def _receive(self, message: Message) -> None:
        parsed = self._topics.parse(message.topic)
        if parsed is not None and parsed.kind is Kind.WORKER_STATUS:
            status = Status.from_bytes(message.payload)
            online = status.state is Presence.ONLINE
            self._drive.tell(io.WorkerStatus(status.id, online, clean=status.is_goodbye))
            return
        payload = decode(message.payload)
        if isinstance(payload, Recorded | InquiryAnswer):
            self._drive.tell(io.FromRecords(payload))
        elif isinstance(payload, TransferMessage):
            self._drive.tell(io.FromWorker(payload))

    def _perform(self, effect: io.SenderEffect) -> None:
        match effect:
            case io.Publish(token=token):
                told = partial(self._published, token)
                self._session.send(
                    effect.topic, effect.payload, told, qos=effect.qos, expiry_s=effect.expiry_s
                )
            case io.ReadChunk(image_id=image_id, offset=offset, size=size):
                data = self._bytes[image_id][offset : offset + size]
                self._drive.tell(io.ChunkRead(image_id, offset, data))
            case io.MakePreview(image_id=image_id):
                self._drive.tell(io.PreviewMade(image_id, None))
            case io.CheckRow(image_id=image_id):
                self._drive.tell(io.RowChecked(image_id, True))
            case io.Persist(image_id=image_id, state=state):
                if state is OutboxState.STORED:
                    self.stored.add(image_id)
                    self.changed.set()
                self._drive.tell(io.Persisted(image_id, state))
            case io.RejectOnDevice(image_id=image_id, reason=reason):
                raise RuntimeError(f"image {image_id} was refused: {reason}")

    def _published(self, token: int, code: int) -> None:
        told = published_code(code)
        if told is not None:
            self._drive.tell(io.Published(token, told))
