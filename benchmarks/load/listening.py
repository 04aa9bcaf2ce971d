"""Listens on the broker during a load: traces, who is online, the broker's counters; it publishes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from benchmarks.load.result import BrokerCounters
from service_runtime.boot import monotonic_s
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, ConnectionLostError, Message, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.access import BROKER_COUNTERS
from wire_protocol.codec import PeerError
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import Presence, Status, TraceFragment, parse_json
from wire_protocol.presence import PresenceBook
from wire_protocol.topics import Kind, Topics
from wire_protocol.trace import Stage
from wire_protocol.trace_join import TraceJoiner

_KINDS = (Kind.TRACE, Kind.DEVICE_STATUS, Kind.WORKER_STATUS, Kind.RECORDS_STATUS)
#: A trace without one of its fragments (QoS 0) is taken as it is after this long.
_PATIENCE_S = 3.0
_MOST_IMAGES = 200_000
_COUNTERS = {
    "messages_received": "$SYS/broker/messages/received",
    "messages_sent": "$SYS/broker/messages/sent",
    "publish_dropped": "$SYS/broker/publish/messages/dropped",
    "bytes_received": "$SYS/broker/bytes/received",
    "bytes_sent": "$SYS/broker/bytes/sent",
}
#: The last of them that the broker tells every second; telling them changes it.
_LAST_COUNTER = "bytes_sent"
_COUNTERS_S = 3.0


class Listener:
    """An engineer's session; `on_recorded` is told the device of each image that was recorded."""

    def __init__(
        self, broker: BrokerSettings, on_recorded: Callable[[str], None] = lambda _: None
    ) -> None:
        self._session = MqttSession(broker, observer_session("bench"))
        self._topics = Topics(broker.root)
        self._on_recorded = on_recorded
        self._presence = PresenceBook()
        self._joiner = TraceJoiner(patience_s=_PATIENCE_S, most_images=_MOST_IMAGES)
        self._statuses: dict[tuple[str, str], Status] = {}
        self._devices: dict[str, str] = {}
        self._counters = dict.fromkeys(_COUNTERS, 0)
        self._counters_heard = 0
        self._is_subscribed = asyncio.Event()
        self._news = asyncio.Event()
        self.traces: list[JoinedTrace] = []
        self.recorded: set[str] = set()

    async def run(self) -> None:
        """Stays connected and listens, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.run(), name="listen")
            group.create_task(self._listen(), name="hear")

    async def until(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until something heard makes this true; False where it does not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def online(self, program: str) -> list[Status]:
        """The programs of this kind that are online."""
        return [
            status
            for (kind, _), status in self._statuses.items()
            if kind == program and status.state is Presence.ONLINE
        ]

    async def counters(self) -> BrokerCounters:
        """The broker's totals, those that it tells next; it tells only of what has changed."""
        heard = self._counters_heard
        await self.until(lambda: self._counters_heard > heard, _COUNTERS_S)
        return BrokerCounters(**self._counters)

    def unfinished(self) -> list[JoinedTrace]:
        """What is known of the images whose trace is not complete."""
        found = [self._joiner.look(image_id) for image_id in self._devices]
        return [trace for trace in found if trace is not None]

    def finish(self) -> list[JoinedTrace]:
        """All traces, complete or not."""
        self.traces += self._joiner.rest()
        return self.traces

    @property
    def awaited_traces(self) -> int:
        """Images whose trace is not complete."""
        return len(self._joiner)

    # --- in -------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected():
                    filters = [self._topics.every(kind) for kind in _KINDS]
                    with suppress(ConnectionLostError):
                        await self._session.subscribe(
                            [Subscription(topic) for topic in (*filters, BROKER_COUNTERS)]
                        )
                case Message():
                    with suppress(PeerError):
                        self._take(event)
                    self._news.set()

    def _take(self, message: Message) -> None:
        if message.topic.startswith("$SYS/"):
            for name, topic in _COUNTERS.items():
                if message.topic == topic:
                    self._counters[name] = int(message.payload)
                    self._counters_heard += name == _LAST_COUNTER
            return
        parsed = self._topics.parse(message.topic)
        if parsed is None:
            return
        if parsed.kind is Kind.TRACE:
            self._fragment(parse_json(TraceFragment, message.payload))
            return
        status = self._presence.hear(parsed, message.payload)
        if status is not None:
            self._statuses[status.program, status.id] = status

    def _fragment(self, fragment: TraceFragment) -> None:
        now_s = monotonic_s()
        self._joiner.add(fragment, now_s)
        self.traces += self._joiner.finished(now_s)
        image_id = fragment.image_id
        if fragment.program == "edge":
            if image_id in self.recorded and image_id not in self._devices:
                self._on_recorded(fragment.id)
            self._devices[image_id] = fragment.id
        elif Stage.RECORDED in fragment.stamps_ns and image_id not in self.recorded:
            self.recorded.add(image_id)
            if image_id in self._devices:
                self._on_recorded(self._devices[image_id])


def difference(before: BrokerCounters, after: BrokerCounters) -> BrokerCounters:
    """What was counted between two looks."""
    pairs: Iterator[tuple[str, int]] = (
        (name, getattr(after, name) - getattr(before, name)) for name in _COUNTERS
    )
    return BrokerCounters(**dict(pairs))
