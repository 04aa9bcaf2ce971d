"""A small microscope for the worker's tests: the real Sender and MQTT session, an outbox in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from edge_device.encoding.preview import make_preview
from service_runtime.boot import monotonic_s, new_attempt
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    NO_SUBSCRIBERS,
    Connected,
    Disconnected,
    Message,
    Subscription,
)
from service_runtime.session_roles import device_session
from tests.cloud_worker.images import OUTBOX_ID
from wire_protocol import machine_io as io
from wire_protocol.codec import decode, encode
from wire_protocol.json_messages import Presence, Status
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.manifest import Manifest
from wire_protocol.messages import InquiryAnswer, Offer, Recorded, TransferMessage
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics


class Device:
    """Sends what it is given; `states` says how far each image came."""

    def __init__(
        self,
        broker: BrokerSettings,
        device: str,
        site: str = "lab",
        *,
        settings: SenderSettings | None = None,
    ) -> None:
        self.device = device
        self.topics = Topics(broker.root)
        self.session = MqttSession(broker, device_session(site, device, congestion=None))
        self.states: dict[str, io.OutboxState] = {}
        self.rejected: dict[str, io.RejectOnDevice] = {}
        self.heard: list[TransferMessage] = []
        self._sender = Sender(
            site=site,
            device=device,
            outbox_id=OUTBOX_ID,
            topics=self.topics,
            random64=new_attempt,
            settings=settings,
        )
        self._bytes: dict[str, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Condition()
        self._events: list[io.SenderEvent] = []
        self._is_telling = False
        self._is_ready = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Device]:
        """Connected from here to the end of the block."""
        async with asyncio.TaskGroup() as tasks:
            connection = tasks.create_task(self.session.run())
            follow = tasks.create_task(self._follow())
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_ready)
            try:
                yield self
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                connection.cancel()
                follow.cancel()

    def send(
        self, manifest: Manifest, data: bytes, *, vanished: int = 0, is_stored: bool = False
    ) -> None:
        """Queues one image (or one that a worker stored in an earlier life)."""
        self._bytes[manifest.image_id] = data
        state = io.OutboxState.STORED if is_stored else io.OutboxState.WAITING
        self._tell(io.Queued(io.OutboxItem(manifest, state, vanished)))

    async def until(self, state: io.OutboxState, manifests: Sequence[Manifest]) -> None:
        """Waits until all of these images have that state here."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: all(self.states.get(m.image_id) is state for m in manifests)
            )

    async def publish_until_heard(self, offer: Offer) -> None:
        """Publishes an offer past the Sender, as often as nobody is subscribed to it."""
        topic = self.topics.build(Kind.OFFER, site="lab", device=self.device)
        code = NO_SUBSCRIBERS
        while code == NO_SUBSCRIBERS:
            code = await self.session.publish(topic, encode(offer))
        assert code == 0

    async def until_heard(self, kind: type[TransferMessage], attempt: int | None = None) -> None:
        """Waits until a worker has said this, about this attempt if given."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: any(
                    isinstance(message, kind) and attempt in (None, message.attempt)
                    for message in self.heard
                )
            )

    async def _follow(self) -> None:
        every = [
            self.topics.build(Kind.TRANSFER, device=self.device),
            self.topics.build(Kind.RECORDED, device=self.device),
            self.topics.every(Kind.WORKER_STATUS),
        ]
        async for event in self.session.events():
            match event:
                case Connected(limits=limits):
                    await self.session.subscribe([Subscription(topic) for topic in every])
                    limit = io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum)
                    self._tell(io.Connected(limit))
                    self._is_ready = True
                case Disconnected():
                    self._tell(io.Disconnected())
                case Message():
                    self._receive(event)
            async with self._changed:
                self._changed.notify_all()

    def _receive(self, message: Message) -> None:
        parsed = self.topics.parse(message.topic)
        assert parsed is not None
        if parsed.kind is Kind.WORKER_STATUS:
            status = Status.from_bytes(message.payload)
            online = status.state is Presence.ONLINE
            self._tell(io.WorkerStatus(status.id, online, clean=status.is_goodbye))
            return
        payload = decode(message.payload)
        if isinstance(payload, Recorded | InquiryAnswer):
            self._tell(io.FromRecords(payload))
        else:
            assert isinstance(payload, TransferMessage)
            self.heard.append(payload)
            self._tell(io.FromWorker(payload))

    def _tell(self, event: io.SenderEvent) -> None:
        self._events.append(event)
        if self._is_telling:
            return
        self._is_telling = True
        while self._events:
            for effect in self._sender.handle(self._events.pop(0), monotonic_s()):
                self._perform(effect)
        self._is_telling = False
        if self._timer is not None:
            self._timer.cancel()
        if self._sender.deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._sender.deadline, self._tell, io.Tick())

    def _perform(self, effect: io.SenderEffect) -> None:
        match effect:
            case io.Publish(token=token):

                def told(code: int) -> None:
                    if code >= 0:
                        self._tell(io.Published(token, code))

                self.session.send(
                    effect.topic, effect.payload, told, qos=effect.qos, expiry_s=effect.expiry_s
                )
            case io.ReadChunk(image_id=image_id, offset=offset, size=size):
                data = self._bytes[image_id][offset : offset + size]
                self._tell(io.ChunkRead(image_id, offset, data))
            case io.MakePreview(image_id=image_id, um_per_px=scale, most_bytes=most):
                made = make_preview(self._bytes[image_id], scale, most)
                self._tell(io.PreviewMade(image_id, made))
            case io.CheckRow(image_id=image_id):
                self._tell(io.RowChecked(image_id, True))
            case io.Persist(image_id=image_id, state=state):
                self.states[image_id] = state
                self._tell(io.Persisted(image_id, state))
            case io.RejectOnDevice(image_id=image_id):
                self.rejected[image_id] = effect
