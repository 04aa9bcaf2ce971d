"""Listens on the broker for the demo's screen, with the accounts that people have; it publishes only commands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pydantic import ValidationError

from hemowire.demo.progress import ImageProgress, Progress
from service_runtime.boot import monotonic_ns, new_id
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    Connected,
    ConnectionLostError,
    Disconnected,
    Message,
    Subscription,
)
from service_runtime.session_roles import observer_session
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import (
    Command,
    Diagnosis,
    Health,
    Rejection,
    Reply,
    TraceFragment,
)
from wire_protocol.presence import PresenceBook
from wire_protocol.topics import Kind, Topics

#: What each account listens to: a demo sees what its engineer, hematologist and operator may see.
ENGINEER_KINDS = (Kind.TRACE, Kind.DEVICE_HEALTH, Kind.DEVICE_STATUS, Kind.WORKER_STATUS)
HEMATOLOGIST_KINDS = (Kind.DIAGNOSIS,)
OPERATOR_KINDS = (Kind.REJECTION, Kind.RECORDS_STATUS, Kind.REPLY)

OnNews = Callable[[ImageProgress], None]


class Observer:
    """One account's session, fed into the shared `Progress`."""

    def __init__(
        self,
        broker: BrokerSettings,
        topics: Topics,
        kinds: tuple[Kind, ...],
        progress: Progress,
        on_news: OnNews,
    ) -> None:
        self._session = MqttSession(broker, observer_session(f"demo-{broker.username}"))
        self._topics = topics
        self._kinds = kinds
        self._progress = progress
        self._on_news = on_news
        self._presence = PresenceBook()

    async def run(self) -> None:
        """Connects and stays connected, until cancelled."""
        await self._session.run()

    async def listen(self) -> None:
        """Takes events until the session ends."""
        filters = [Subscription(self._topics.every(kind)) for kind in self._kinds]
        async for event in self._session.events():
            if isinstance(event, Connected):
                with suppress(ConnectionLostError):
                    await self._session.subscribe(filters)
            elif isinstance(event, Disconnected):
                self._presence.forget()
            elif isinstance(event, Message):
                with suppress(PeerError):  # what a program said wrongly is in that program's log
                    self._take(event)

    def command(self, site: str, device: str, name: str) -> None:
        """Sends a command to a device; its reply is the device's to log."""
        command = Command(command_id=new_id(), name=name)
        topic = self._topics.build(Kind.COMMAND, site=site, device=device)
        self._session.publish(topic, command.to_bytes(), expiry_s=10)

    def _take(self, message: Message) -> None:
        parsed = self._topics.parse(message.topic)
        if parsed is None:
            return
        progress, payload = self._progress, message.payload
        match parsed.kind:
            case Kind.TRACE:
                progress.on_fragment(TraceFragment.from_bytes(payload))
            case Kind.DEVICE_HEALTH:
                progress.on_health(Health.from_bytes(payload))
            case Kind.REPLY:
                reply = Reply.from_bytes(payload)
                if reply.ok and reply.name == "report":
                    with suppress(ValidationError):
                        progress.on_health(Health.model_validate(reply.result))
            case Kind.DEVICE_STATUS | Kind.WORKER_STATUS | Kind.RECORDS_STATUS:
                status = self._presence.hear(parsed, payload)
                if status is not None:
                    progress.on_status(status)
            case Kind.DIAGNOSIS:
                diagnosis = Diagnosis.from_bytes(payload)
                if progress.on_diagnosis(diagnosis, monotonic_ns()):
                    self._on_news(progress.images[diagnosis.image_id])
            case Kind.REJECTION:
                rejection = Rejection.from_bytes(payload)
                if progress.on_rejection(rejection):
                    self._on_news(progress.images[rejection.image_id])
            case _:
                return
