"""The shell around the `Sender`: events in, publishes, reads and commits out; it decides nothing about the transfer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial

from edge_device.encoding.preview import make_preview
from edge_device.image_reader import ImageReader
from edge_device.outbox import OutboxRow, Refusal
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.owed import Owed
from edge_device.rejections import refusal_for, rejection_of
from edge_device.settings import EdgeSettings
from edge_device.stamps import Stamps
from service_runtime.boot import new_attempt
from service_runtime.clock import ClockExchange
from service_runtime.log import get_log
from service_runtime.machine_drive import MachineDrive, published_code
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import LinkLimits
from wire_protocol import machine_io as io
from wire_protocol.json_messages import TraceFragment
from wire_protocol.machine_io import OutboxState
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage

#: The upload is over, one way or another: the trace is complete on the device's side.
_UPLOADED = (OutboxState.STORED, OutboxState.RECORDED)
#: What `ask_about` tells the sender; it forgets what is known, and offers again what is not.
_TOMBSTONES = (OutboxState.RECORDED, OutboxState.REJECTED)
#: An offer of these is followed by bytes.
_WITH_BYTES = (OutboxState.WAITING, OutboxState.SENDING)


class Transfer:
    """Feeds one Sender; all methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: EdgeSettings,
        topics: Topics,
        *,
        session: MqttSession,
        disk: OutboxThread,
        owed: Owed,
        tasks: asyncio.TaskGroup,
        clock: ClockExchange,
        on_settled: Callable[[], None],
    ) -> None:
        self.sender = Sender(
            site=settings.site,
            device=settings.device,
            outbox_id=disk.outbox.outbox_id,
            topics=topics,
            random64=new_attempt,
            settings=settings.transfer,
        )
        self.reader = ImageReader(disk.outbox.files, owed.sha256_of, self.tell, tasks)
        self.stamps = Stamps(settings.device, clock, self._publish_trace)
        self._session = session
        self._disk = disk
        self._owed = owed
        self._tasks = tasks
        self._on_settled = on_settled
        self._site, self._device = settings.site, settings.device
        self._trace_topic = topics.build(Kind.TRACE, program=settings.device)
        self._rejection_topic = topics.build(
            Kind.REJECTION, site=settings.site, device=settings.device
        )
        self._log = get_log("edge").bind(device=settings.device)
        self._drive: MachineDrive[io.SenderEvent, io.SenderEffect] = MachineDrive(
            self.sender, self._perform, io.Tick
        )

    # --- what the agent tells -----------------------------------------------------------------

    def take(self, row: OutboxRow) -> None:
        """The outbox holds this row durably and it is not recorded: sent, or published as rejected."""
        self._owed.add(row.image_id, row.sha256, row.size_bytes if row.bytes_held else 0)
        if row.refusal is not None:
            # Before the sender asks about it: an inquiry that comes first has it published again.
            self.publish_rejection(row)
        self.tell(io.Queued(row.item()))

    def retry(self, row: OutboxRow) -> None:
        """A person wants this row sent now, or its facts changed: the sender begins with it afresh."""
        self.reader.forget(row.image_id)
        self.tell(io.Withdrawn(row.image_id))
        self.take(row)

    def in_flight(self) -> frozenset[str]:
        """Images that the sender has begun with."""
        return self.sender.begun

    def ask_about(self, row: OutboxRow) -> None:
        """A tombstone, for another records store than the one that recorded it."""
        item = row.item()
        if row.refusal is not None:
            item = io.OutboxItem(item.manifest, OutboxState.REJECTED, item.vanished)
        self.tell(io.Queued(item))

    def is_in_doubt(self, image_id: str) -> bool:
        """Whether a tombstone that was asked about waits for its answer, or for its record."""
        return self.sender.state_of(image_id) in _TOMBSTONES

    def connected(self, limits: LinkLimits, round_trip_s: float) -> None:
        """Subscribed, which took so long, and announced."""
        allowed = io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum)
        self.tell(io.Connected(allowed, round_trip_s))

    def tell(self, event: io.SenderEvent) -> None:
        """Tells the sender and does what it wants; an event told meanwhile comes after."""
        self._drive.tell(event)

    def committed(self, changes: Sequence[io.Persist]) -> None:
        """These state changes are on disk."""
        for change in changes:
            if change.state in _UPLOADED:
                self.reader.forget(change.image_id)
                self.stamps.uploaded(change.image_id)
            if change.state is OutboxState.RECORDED:
                self._owed.settle(change.image_id)
                self._log.info("recorded", image_id=change.image_id, outcome=change.outcome)
            elif change.state is OutboxState.STORED and change.image_id not in self._owed:
                self._start(self._owe_again(change.image_id), "owe again")
            self.tell(io.Persisted(change.image_id, change.state))
        self._on_settled()

    def stop(self) -> None:
        """No further ticks, and the reading thread ends."""
        self._drive.stop()
        self.reader.close()

    # --- effects ------------------------------------------------------------------------------

    def _perform(self, effect: io.SenderEffect) -> None:
        match effect:
            case io.Publish(token=token, topic=topic, payload=payload):
                told = partial(self._published, token)
                self._session.send(topic, payload, told, qos=effect.qos, expiry_s=effect.expiry_s)
            case io.Stamp(image_id=image_id, attempt=attempt, stage=stage):
                self.stamps.mark(image_id, attempt, stage)
                if stage is Stage.OFFERED and self.sender.state_of(image_id) in _WITH_BYTES:
                    self.reader.prepare(image_id)
            case io.ReadChunk():
                self.reader.read(effect)
            case io.MakePreview():
                self._start(self._preview(effect), "preview")
            case io.CheckRow(image_id=image_id):
                self.reader.check(image_id)
            case io.Persist():
                self._disk.persist(effect)
            case io.RejectOnDevice(image_id=image_id, reason=reason, detail=detail):
                refusal = refusal_for(reason, detail)
                self._log.error("rejected_on_device", image_id=image_id, reason=reason)
                self._start(self._quarantine(image_id, refusal), "quarantine")
            case io.RepublishRejection(image_id=image_id):
                self._start(self._republish(image_id), "republish rejection")

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        self._tasks.create_task(_until_given_up(work), name=name)

    def _published(self, token: int, code: int) -> None:
        told = published_code(code)
        if told is not None:
            self.tell(io.Published(token, told))

    async def _preview(self, asked: io.MakePreview) -> None:
        """Of the checked bytes; on a thread, for it takes some tens of milliseconds."""
        data = await self.reader.whole(asked.image_id)
        made = None
        if data is not None:
            made = await asyncio.to_thread(make_preview, data, asked.um_per_px, asked.most_bytes)
        self.tell(io.PreviewMade(asked.image_id, made))

    async def _quarantine(self, image_id: str, refusal: Refusal) -> None:
        self.reader.forget(image_id)
        row = await self._disk.patiently(lambda outbox: outbox.quarantine(image_id, refusal))
        if row is not None:
            self.stamps.uploaded(image_id)
            self.publish_rejection(row)

    async def _owe_again(self, image_id: str) -> None:
        """A tombstone that the records store does not know: its bytes may be asked for."""
        row = await self._disk.patiently(lambda outbox: outbox.row(image_id))
        self._owed.add(row.image_id, row.sha256, row.size_bytes if row.bytes_held else 0)

    async def _republish(self, image_id: str) -> None:
        self.publish_rejection(await self._disk.patiently(lambda outbox: outbox.row(image_id)))

    def publish_rejection(self, row: OutboxRow) -> None:
        """Says so now; while nobody recorded it the sender's inquiries have it said again."""
        message = rejection_of(row, self._site, self._device)
        if message is not None:
            self._session.send(self._rejection_topic, message.to_bytes(), qos=1)

    def _publish_trace(self, fragment: TraceFragment) -> None:
        self._session.send(self._trace_topic, fragment.to_bytes(), qos=0)


async def _until_given_up(work: Coroutine[None, None, None]) -> None:
    """What is not done when the agent stops on a full disk follows from the outbox at its next start."""
    with suppress(DiskGivenUpError):
        await work
