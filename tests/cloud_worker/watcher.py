"""What a hematologist's app sees, for tests: every diagnosis and thumbnail in order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.json_messages import Diagnosis, Status, TraceFragment
from wire_protocol.topics import Kind, Topics


class Watcher:
    """Reads topics of these kinds and keeps the messages."""

    def __init__(self, broker: BrokerSettings, name: str, kinds: tuple[Kind, ...]) -> None:
        self.topics = Topics(broker.root)
        self.messages: list[Message] = []
        self._session = MqttSession(broker, observer_session(name))
        self._kinds = kinds
        self._changed = asyncio.Condition()
        self._is_ready = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Watcher]:
        """Subscribed from here to the end of the block."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._session.run()),
                tasks.create_task(self._follow()),
            ]
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_ready)
            try:
                yield self
            finally:
                for task in running:
                    task.cancel()

    async def until(self, seen: Callable[[], bool]) -> None:
        """Waits until `seen()`, asked after each message."""
        async with self._changed:
            await self._changed.wait_for(seen)

    def of(self, kind: Kind) -> list[Message]:
        """The messages of one kind, in order."""
        parsed = [(self.topics.parse(m.topic), m) for m in self.messages]
        return [m for p, m in parsed if p is not None and p.kind is kind]

    def diagnoses(self) -> list[Diagnosis]:
        return [Diagnosis.from_bytes(m.payload) for m in self.of(Kind.DIAGNOSIS)]

    def traces(self) -> list[TraceFragment]:
        return [TraceFragment.from_bytes(m.payload) for m in self.of(Kind.TRACE)]

    def statuses(self) -> list[Status]:
        return [Status.from_bytes(m.payload) for m in self.of(Kind.WORKER_STATUS)]

    async def _follow(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected():
                    await self._session.subscribe(
                        [Subscription(self.topics.every(kind)) for kind in self._kinds]
                    )
                    self._is_ready = True
                case Message():
                    self.messages.append(event)
            async with self._changed:
                self._changed.notify_all()
