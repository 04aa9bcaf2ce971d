"""Sessions that speak to the programs under test as a device, a worker or an onlooker would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from broker_config.local import LocalBroker, edge_username
from service_runtime.boot import new_id
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, MqttError, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.codec import decode
from wire_protocol.json_messages import Diagnosis, Rejection
from wire_protocol.messages import Message as WireMessage
from wire_protocol.topics import Kind, Topics

TOPICS = Topics()
DEADLINE_S = 20.0
MessageT = TypeVar("MessageT", bound=WireMessage)


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in an event loop of its own, below a deadline."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 2 * DEADLINE_S))

    return run


@dataclass(slots=True)
class Client:
    """A session that publishes as one account and keeps what it receives."""

    session: MqttSession
    received: list[Message] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, done: Callable[[list[Message]], bool]) -> None:
        """Waits until `done` says so of all that was received."""
        async with asyncio.timeout(DEADLINE_S):
            while not done(self.received):
                self.arrived.clear()
                await self.arrived.wait()

    async def pause(self, longest_s: float) -> None:
        """Waits until something more is received, at most so long."""
        self.arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self.arrived.wait()

    def of(self, kind: type[MessageT]) -> list[MessageT]:
        """The binary messages of this kind, in order."""
        decoded = (decode(m.payload) for m in self.received if m.payload[:1] != b"{")
        return [message for message in decoded if isinstance(message, kind)]

    async def first(self, kind: type[MessageT], count: int = 1) -> list[MessageT]:
        """Waits for `count` of them."""
        await self.until(lambda _: len(self.of(kind)) >= count)
        return self.of(kind)


@asynccontextmanager
async def client(broker: LocalBroker, username: str, *topics: str) -> AsyncIterator[Client]:
    """A connected client that is subscribed to `topics`."""
    session = MqttSession(broker.settings(username), observer_session(f"test-{new_id()}"))
    found = Client(session)
    ready = asyncio.Event()

    async def collect() -> None:
        async for event in session.events():
            match event:
                case Connected():
                    with suppress(MqttError):
                        if topics:
                            await session.subscribe([Subscription(topic) for topic in topics])
                        ready.set()
                case Message():
                    found.received.append(event)
                    found.arrived.set()

    tasks = [asyncio.create_task(session.run()), asyncio.create_task(collect())]
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        yield found
    finally:
        await session.close()
        await asyncio.gather(*tasks)


def device(broker: LocalBroker, name: str = "scope-1") -> Any:
    """A client with a microscope's account."""
    return client(
        broker,
        edge_username(name),
        TOPICS.build(Kind.RECORDED, device=name),
        TOPICS.build(Kind.RECORDS_STATUS),
        TOPICS.build(Kind.CLOCK, peer=name),
    )


async def say(sender: Client, message: Diagnosis | Rejection) -> int:
    """Publishes it where it belongs; returns 0, or 0x10 where nobody is subscribed."""
    kind = Kind.DIAGNOSIS if isinstance(message, Diagnosis) else Kind.REJECTION
    topic = TOPICS.build(kind, site=message.site, device=message.device)
    code = await sender.session.publish(topic, message.to_bytes())
    assert code in (0, 0x10)
    return code
