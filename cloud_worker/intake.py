"""The shell around the `Receiver`: messages in, publishes and images out; it decides nothing.

A payload that is malformed or disagrees with its topic is dropped and counted by cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from cloud_worker.stamps import Stamps
from service_runtime.log import get_log
from service_runtime.machine_drive import MachineDrive, published_code
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Message
from wire_protocol import codec
from wire_protocol import machine_io as io
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Presence
from wire_protocol.messages import Chunk, DeviceRelease, Offer, Probe
from wire_protocol.presence import PresenceBook, WrongTopicError
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics


class Intake:
    """Feeds one Receiver; all methods belong to the event loop's thread."""

    def __init__(
        self,
        worker: str,
        *,
        receiver: Receiver,
        session: MqttSession,
        topics: Topics,
        stamps: Stamps,
        take_image: Callable[[io.Store | io.Fetch], None],
        take_preview: Callable[[io.ClassifyPreview], None] = lambda _: None,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._worker = worker
        self._receiver = receiver
        self._session = session
        self._topics = topics
        self._stamps = stamps
        self._take_image = take_image
        self._take_preview = take_preview
        self._log = get_log("worker").bind(worker=worker)
        self._drive: MachineDrive[io.ReceiverEvent, io.ReceiverEffect] = MachineDrive(
            receiver, self._perform, io.Tick
        )
        self._presence = PresenceBook()

    def receive(self, message: Message) -> None:
        """One MQTT message."""
        parsed = self._topics.parse(message.topic)
        if parsed is None:
            self._drop("unknown_topic", message.topic)
            return
        levels = parsed.levels
        try:
            if parsed.kind is Kind.DEVICE_STATUS:
                status = self._presence.hear(parsed, message.payload)
                if status is not None and status.state is Presence.OFFLINE:
                    self.tell(io.DeviceGone(levels["device"]))
                return
            payload = codec.decode(message.payload)
        except WrongTopicError as error:
            self._drop("disagrees_with_topic", message.topic, str(error))
            return
        except PeerError as error:
            self._drop("malformed", message.topic, str(error))
            return
        if parsed.kind is Kind.OFFER and isinstance(payload, Offer):
            self.tell(io.FromDevice(levels["site"], levels["device"], payload))
        elif (
            parsed.kind is Kind.INGEST
            and levels["worker"] == self._worker
            and isinstance(payload, Chunk | Probe | DeviceRelease)
        ):
            self.tell(io.FromDevice("", levels["device"], payload))
        else:
            self._drop("disagrees_with_topic", message.topic, type(payload).__name__)

    def tell(self, event: io.ReceiverEvent) -> None:
        """Tells the receiver and does what it wants; an event told meanwhile comes after."""
        self._drive.tell(event)

    def disconnected(self) -> None:
        """The connection is gone: retained statuses come again with the next one."""
        self._presence.forget()
        self.tell(io.Disconnected())

    @property
    def unfinished(self) -> int:
        """Transfers that still owe their device an answer."""
        return self._receiver.unfinished

    def stop(self) -> None:
        """No further ticks."""
        self._drive.stop()

    # --- inside -------------------------------------------------------------------------------

    def _perform(self, effect: io.ReceiverEffect) -> None:
        match effect:
            case io.Publish(token=token, topic=topic, payload=payload):
                told = partial(self._published, token)
                self._session.send(topic, payload, told, qos=effect.qos, expiry_s=effect.expiry_s)
            case io.Stamp(image_id=image_id, stage=stage):
                self._stamps.mark(image_id, stage)
            case io.Store() | io.Fetch():
                self._take_image(effect)
            case io.ClassifyPreview():
                self._take_preview(effect)

    def _published(self, token: int, code: int) -> None:
        told = published_code(code)
        if told is None:
            return
        if told >= 0x80:
            self._drop("publish_refused", "", f"code 0x{told:02x}")
        self.tell(io.Published(token, told))

    def _drop(self, cause: str, where: str, detail: str = "") -> None:
        """Counts, and logs at 1, 2, 4, 8, ... so that a flood cannot fill the log."""
        self.dropped[cause] += 1
        count = self.dropped[cause]
        if count & (count - 1) == 0:
            self._log.warning("dropped", cause=cause, topic=where, detail=detail, count=count)
