"""What the broker brings to a device, checked and handed on.

A payload that is malformed or disagrees with its topic is counted and dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edge_device.commands import Commands
from service_runtime.log import get_log
from service_runtime.mqtt_types import Message, Subscription
from wire_protocol import codec
from wire_protocol import machine_io as io
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Presence, Status, parse_json
from wire_protocol.messages import InquiryAnswer, Recorded, TransferMessage
from wire_protocol.topics import Kind, Topics


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
        commands: Commands,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._site, self._device = site, device
        self._topics = topics
        self._tell = tell
        self._on_store = on_store
        self._commands = commands
        self._log = get_log("edge").bind(device=device)
        #: Topic -> incarnation that is online: a late will of an earlier life does not count.
        self._online: dict[str, str] = {}

    def subscriptions(self) -> list[Subscription]:
        """Everything that a device listens to."""
        build = self._topics.build
        return [
            Subscription(build(Kind.TRANSFER, device=self._device)),
            Subscription(build(Kind.RECORDED, device=self._device)),
            Subscription(build(Kind.COMMAND, site=self._site, device=self._device)),
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
                    worker = parsed.levels["worker"]
                    online = self._status(message)
                    if online is not None:
                        self._tell(io.WorkerStatus(worker, online is not _GONE))
                case Kind.RECORDS_STATUS:
                    self._records_status(message)
                case Kind.COMMAND:
                    self._commands.receive(message)
                case _:
                    self._drop("unknown_topic", message.topic, "")
        except PeerError as error:
            self._drop("malformed", message.topic, str(error))

    def forget_presence(self) -> None:
        """The connection is gone: retained statuses come again with the next one."""
        self._online.clear()

    def _transfer(self, message: Message) -> None:
        payload = codec.decode(message.payload)
        if isinstance(payload, TransferMessage):
            self._tell(io.FromWorker(payload))
        else:
            self._drop("disagrees_with_topic", message.topic, type(payload).__name__)

    def _recorded(self, message: Message) -> None:
        payload = codec.decode(message.payload)
        if isinstance(payload, Recorded | InquiryAnswer):
            self._on_store(payload.store_id)
            self._tell(io.FromRecords(payload))
        else:
            self._drop("disagrees_with_topic", message.topic, type(payload).__name__)

    def _records_status(self, message: Message) -> None:
        status = self._status(message)
        if status is None:
            return
        if status is not _GONE and status.store_id:
            self._on_store(status.store_id)
        self._tell(io.RecordsStatus(status is not _GONE, status.store_id))

    def _status(self, message: Message) -> Status | None:
        """The online status, `_GONE`, or None for a late word of an earlier life."""
        if not message.payload:  # the retained status was cleared
            self._online.pop(message.topic, None)
            return _GONE
        status = parse_json(Status, message.payload)
        if status.state is Presence.ONLINE:
            self._online[message.topic] = status.incarnation
            return status
        if self._online.get(message.topic, status.incarnation) != status.incarnation:
            return None
        self._online.pop(message.topic, None)
        return _GONE

    def _drop(self, cause: str, topic: str, detail: str) -> None:
        self.dropped[cause] += 1
        if self.dropped[cause] == 1 or self.dropped[cause] % 100 == 0:
            self._log.warning(
                "message_dropped", cause=cause, topic=topic, detail=detail, n=self.dropped[cause]
            )


_GONE = Status(state=Presence.OFFLINE, incarnation="0" * 32, program="records", id="gone")
