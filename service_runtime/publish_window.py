"""What may be sent now, what waits and what is refused on one connection; pure bookkeeping.

paho ignores the broker's Receive Maximum, so the window is kept here. QoS 1 messages beyond it wait
in a bounded queue; QoS 0 messages count until the socket has taken them. Nothing outlives the
connection: at its end every outstanding message is reported as LOST, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from service_runtime.mqtt_types import (
    DELIVERED,
    LOST,
    QUEUE_FULL,
    TOO_LARGE,
    Done,
    LinkLimits,
    SessionOptions,
)

#: Topic, properties and fixed header of a PUBLISH are below this; payloads keep this distance.
HEADER_BYTES = 256


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One publish as the program asked for it."""

    topic: str
    payload: bytes
    done: Done | None
    qos: int
    retain: bool
    expiry_s: int | None
    correlation: bytes | None


class PublishWindow:
    """`hand_over` gives a message to the connection and returns its packet id, None if it is gone."""

    def __init__(
        self,
        options: SessionOptions,
        limits: LinkLimits,
        hand_over: Callable[[Outgoing], int | None],
    ) -> None:
        self._size = min(options.window, limits.receive_maximum)
        self._largest_bytes = limits.maximum_packet_size - HEADER_BYTES
        self._options = options
        self._hand_over = hand_over
        self._inflight: dict[int, Done | None] = {}
        self._queue: deque[Outgoing] = deque()
        self._queue_bytes = 0
        self._unwritten_qos0 = 0
        self._acknowledged: deque[tuple[int, int]] = deque()
        self._is_over = False

    @property
    def in_flight(self) -> int:
        """QoS 1 messages that were sent and not acknowledged."""
        return len(self._inflight)

    def publish(self, message: Outgoing) -> None:
        """Sends now or when the window allows; `done` is called exactly once."""
        code = self._refusal(message)
        if code == DELIVERED and message.qos and (self._queue or self.in_flight >= self._size):
            self._queue.append(message)
            self._queue_bytes += len(message.payload)
            return
        if code == DELIVERED:
            code = self._send(message)
            if code == DELIVERED and message.qos:
                return  # the PUBACK will tell
        if message.done is not None:
            message.done(code)

    def published(self, mid: int, code: int) -> None:
        """Notes a PUBACK, or that the socket took a QoS 0 message; `settle` tells the program."""
        if mid in self._inflight:
            self._acknowledged.append((mid, code))
        elif self._unwritten_qos0:
            self._unwritten_qos0 -= 1

    def settle(self) -> None:
        """Calls `done` for what was acknowledged and refills the window from the queue."""
        while self._acknowledged:
            mid, code = self._acknowledged.popleft()
            done = self._inflight.pop(mid, None)
            if done is not None:
                done(code)
        while self._queue and self.in_flight < self._size and not self._is_over:
            message = self._queue.popleft()
            self._queue_bytes -= len(message.payload)
            if self._send(message) != DELIVERED and message.done is not None:
                message.done(LOST)

    def end(self) -> None:
        """The connection is over: everything outstanding is LOST, and so is what comes now."""
        self._is_over = True
        outstanding = [*self._inflight.values(), *(message.done for message in self._queue)]
        self._inflight.clear()
        self._queue.clear()
        for done in outstanding:
            if done is not None:
                done(LOST)

    def _refusal(self, message: Outgoing) -> int:
        if self._is_over:
            return LOST
        size = len(message.payload)
        if size > self._largest_bytes:
            return TOO_LARGE
        waiting = len(self._queue) if message.qos else self._unwritten_qos0
        if waiting >= self._options.queue_messages:
            return QUEUE_FULL
        if message.qos and self._queue and self._queue_bytes + size > self._options.queue_bytes:
            return QUEUE_FULL
        return DELIVERED

    def _send(self, message: Outgoing) -> int:
        mid = self._hand_over(message)
        if mid is None:
            return LOST
        if message.qos:
            self._inflight[mid] = message.done
        else:
            self._unwritten_qos0 += 1
        return DELIVERED
