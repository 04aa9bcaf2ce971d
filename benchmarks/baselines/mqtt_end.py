"""One end of a way over MQTT: the session that our own programs have, tuned as theirs; it retries nothing.

The topics are those that the accounts may use, with a worker's id of the baseline's own: the
broker, its access rules and its configuration are the same for every way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    Connected,
    ConnectionLostError,
    Disconnected,
    Message,
    SessionOptions,
    Subscription,
)
from wire_protocol.topics import Kind, Topics

#: A whole image in one packet keeps the answers to pings waiting behind it, minutes on a slow
#: link. With the keepalive of our programs it would be cut off and begin again for ever.
KEEPALIVE_S = 900
#: The name of the receiving end in topics.
RECEIVER = "baseline"


class MqttEnd:
    """A session that subscribes on each connect and hands messages on in order."""

    def __init__(
        self,
        broker: BrokerSettings,
        options: SessionOptions,
        subscriptions: Sequence[str],
        on_message: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.session = MqttSession(broker, replace(options, keepalive_s=KEEPALIVE_S))
        self._subscriptions = [Subscription(topic) for topic in subscriptions]
        self._on_message = on_message
        self._is_ready = asyncio.Event()

    async def ready(self) -> None:
        """Returns while connected and subscribed."""
        await self._is_ready.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected from here to the end of the block, again after each loss."""
        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(self.session.run()), tasks.create_task(self._follow())]
            try:
                await self.ready()
                yield
            finally:
                for job in jobs:
                    job.cancel()

    async def _follow(self) -> None:
        async for event in self.session.events():
            match event:
                case Connected():
                    with suppress(ConnectionLostError):
                        if self._subscriptions:
                            await self.session.subscribe(self._subscriptions)
                        self._is_ready.set()
                case Disconnected():
                    self._is_ready.clear()
                case Message():
                    await self._on_message(event)


async def ignore(_message: Message) -> None:
    """For an end that nobody writes to."""


def image_topic(root: str, device: str) -> str:
    """Where a device's bytes go."""
    return Topics(root).build(Kind.INGEST, worker=RECEIVER, device=device)


def answer_topic(root: str, device: str) -> str:
    """Where a device hears from the receiver."""
    return Topics(root).build(Kind.TRANSFER, device=device)
