"""Events that wait for the program, bounded by the broker's flow control and by bytes; in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from service_runtime.mqtt_types import Event, Message, SessionOptions

#: What a waiting message costs beside its payload, roughly.
_MESSAGE_BYTES = 512


class Inbox:
    """For one consumer. A QoS 1 message is acknowledged when it is taken, unless `manual_ack`."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._events: deque[Event] = deque()
        self._qos0 = 0
        self._bytes = 0
        self._filled = asyncio.Event()
        self._has_ended = False

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_over(self) -> bool:
        """Whether more bytes wait than may: the program does not keep up with the broker."""
        return self._bytes > self._options.inbox_bytes

    def put(self, event: Event) -> bool:
        """Adds an event; False for a QoS 0 message for which there is no room: it is dropped."""
        if isinstance(event, Message):
            if event.qos == 0:
                if self._qos0 >= self._options.inbox_qos0:
                    return False
                self._qos0 += 1
            self._bytes += len(event.payload) + _MESSAGE_BYTES
        self._events.append(event)
        self._filled.set()
        return True

    def end(self) -> None:
        """Nothing more will come: `events` ends after what is waiting."""
        self._has_ended = True
        self._filled.set()

    async def events(self) -> AsyncIterator[Event]:
        """All events in order, until the end."""
        while True:
            while self._events:
                yield self._take()
            if self._has_ended:
                return
            self._filled.clear()
            await self._filled.wait()

    def _take(self) -> Event:
        event = self._events.popleft()
        if isinstance(event, Message):
            self._bytes -= len(event.payload) + _MESSAGE_BYTES
            if event.qos == 0:
                self._qos0 -= 1
            elif not self._options.manual_ack:
                event.ack()
        return event
