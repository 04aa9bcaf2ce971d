"""A session together with what it received, for tests that talk to the real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Disconnected, Event, Message

#: Every wait of these tests; far above what loopback needs.
DEADLINE_S = 10.0

EventT = TypeVar("EventT", Connected, Disconnected, Message)


class Peer:
    """Collects a session's events; `next_of` waits for the next one of a kind."""

    def __init__(self, session: MqttSession) -> None:
        self.session = session
        self.seen: list[Event] = []
        self._arrived = asyncio.Condition()
        self._position = 0

    async def collect(self) -> None:
        async for event in self.session.events():
            async with self._arrived:
                self.seen.append(event)
                self._arrived.notify_all()

    async def next_of(
        self, kind: type[EventT], accept: Callable[[EventT], bool] = lambda _: True
    ) -> EventT:
        """The next event of `kind` that is accepted; those before it are passed over."""
        async with asyncio.timeout(DEADLINE_S), self._arrived:
            while True:
                while self._position < len(self.seen):
                    event = self.seen[self._position]
                    self._position += 1
                    if isinstance(event, kind) and accept(event):
                        return event
                await self._arrived.wait()

    def messages(self) -> list[Message]:
        return [event for event in self.seen if isinstance(event, Message)]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine with a deadline."""

    async def limited() -> None:
        async with asyncio.timeout(4 * DEADLINE_S):
            await main

    asyncio.run(limited())


@asynccontextmanager
async def running(session: MqttSession) -> AsyncIterator[Peer]:
    """Runs the session and its collector; leaves by closing it in order."""
    peer = Peer(session)
    run = asyncio.create_task(session.run())
    collect = asyncio.create_task(peer.collect())
    try:
        yield peer
    finally:
        await session.close()
        await collect
        await run
