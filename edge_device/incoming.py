"""What the broker brings to a device, checked and handed on; a device without commands hears none.

A payload that is malformed or disagrees with its topic is counted and dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edge_device.cases import Refiling
from edge_device.commands import Commands
from service_runtime.clock import ClockExchange
from service_runtime.log import get_log
from service_runtime.mqtt_types import Message, Subscription
from wire_protocol import codec
from wire_protocol import machine_io as io
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Presence
from wire_protocol.messages import InquiryAnswer, Recorded, Refiled, TransferMessage
from wire_protocol.presence import PresenceBook
from wire_protocol.topics import Kind, ParsedTopic, Topics


class Incoming:
    """`tell` gets the sender's events, `on_store` the id of the records store that speaks."""

    def __init__(
        self,
        topics: Topics,
        *,
        site: str,
        device: str,
        tell: Callable[[io.SenderEvent], None],
        on_store: Callable[[str], None],
        clock: ClockExchange,
        refiling: Refiling,
        commands: Commands | None,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._site, self._device = site, device
        self._topics = topics
        self._tell = tell
        self._on_store = on_store
        self._clock = clock
        self._refiling = refiling
        self._commands = commands
        self._log = get_log("edge").bind(device=device)
        self._presence = PresenceBook()

    def subscriptions(self) -> list[Subscription]:
        """Everything that a device listens to."""
        build = self._topics.build
        command = Subscription(build(Kind.COMMAND, site=self._site, device=self._device))
        return [
            Subscription(build(Kind.TRANSFER, device=self._device)),
            Subscription(build(Kind.RECORDED, device=self._device)),
            *([] if self._commands is None else [command]),
            Subscription(build(Kind.CLOCK, peer=self._device), qos=0),
            Subscription(self._topics.every(Kind.WORKER_STATUS)),
            Subscription(self._topics.every(Kind.RECORDS_STATUS)),
        ]

    def receive(self, message: Message) -> None:
        """One MQTT message."""
        parsed = self._topics.parse(message.topic)
        if parsed is None:
            self._drop("unknown_topic", message.topic, "")
            return
        try:
            match parsed.kind:
                case Kind.TRANSFER:
                    self._transfer(message)
                case Kind.RECORDED:
                    self._recorded(message)
                case Kind.WORKER_STATUS:
                    self._worker_status(parsed, message.payload)
                case Kind.RECORDS_STATUS:
                    self._records_status(parsed, message.payload)
                case Kind.COMMAND if self._commands is not None:
                    self._commands.receive(message)
                case Kind.CLOCK:
                    if not self._clock.receive(message.payload, message.received_at_ns):
                        self._drop("clock_not_asked", message.topic, "")
                case _:
                    self._drop("unknown_topic", message.topic, "")
        except PeerError as error:
            self._drop("malformed", message.topic, str(error))

    def forget_presence(self) -> None:
        """The connection is gone: retained statuses come again with the next one."""
        self._presence.forget()

    def _transfer(self, message: Message) -> None:
        payload = codec.decode(message.payload)
        if isinstance(payload, TransferMessage):
            self._tell(io.FromWorker(payload))
        else:
            self._drop("disagrees_with_topic", message.topic, type(payload).__name__)

    def _recorded(self, message: Message) -> None:
        payload = codec.decode(message.payload)
        if isinstance(payload, Refiled):
            self._refiling.acknowledged(payload)
        elif isinstance(payload, Recorded | InquiryAnswer):
            self._on_store(payload.store_id)
            self._tell(io.FromRecords(payload))
        else:
            self._drop("disagrees_with_topic", message.topic, type(payload).__name__)

    def _worker_status(self, topic: ParsedTopic, payload: bytes) -> None:
        status = self._presence.hear(topic, payload)
        if status is not None:
            online = status.state is Presence.ONLINE
            worker = topic.levels["worker"]
            self._tell(io.WorkerStatus(worker, online, clean=status.is_goodbye))

    def _records_status(self, topic: ParsedTopic, payload: bytes) -> None:
        status = self._presence.hear(topic, payload)
        if status is None:
            return
        online = status.state is Presence.ONLINE
        if online:
            self._clock.records_online(status.incarnation)
        self._refiling.records(online=online, store_id=status.store_id if online else "")
        if online and status.store_id:
            self._on_store(status.store_id)
        self._tell(io.RecordsStatus(online, status.store_id if online else ""))

    def _drop(self, cause: str, topic: str, detail: str) -> None:
        self.dropped[cause] += 1
        if self.dropped[cause] == 1 or self.dropped[cause] % 100 == 0:
            self._log.warning(
                "message_dropped", cause=cause, topic=topic, detail=detail, n=self.dropped[cause]
            )
