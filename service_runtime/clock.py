"""How far this machine's monotonic clock is from the records store's, by four timestamps; it sets no clock.

`OffsetFilter` is pure. `ClockExchange` asks, four times at each connection and then now and then,
through whatever `send` it is given; a program hands it the replies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service_runtime.boot import boot_id, monotonic_ns
from wire_protocol.codec import decode, encode
from wire_protocol.messages import ClockReply, ClockRequest

#: Exchanges that the best one is chosen from; at one a minute the choice is at most minutes old.
KEPT = 8
#: Two quartz clocks drift apart by at most this, in nanoseconds a second: 50 ppm.
DRIFT_NS_PER_S = 50_000
BURST, BURST_GAP_S, PERIOD_S = 4, 0.25, 45.0
#: An answer that takes longer says nothing worth keeping.
_MOST_RTT_NS = 10_000_000_000
#: Requests whose answer is still waited for.
_OUTSTANDING = 16


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Our monotonic nanoseconds plus `offset_ns` are the records store's, give or take `error_ns`."""

    offset_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class _Exchange:
    offset_ns: int
    rtt_ns: int
    at_ns: int

    def error_ns(self, now_ns: int) -> int:
        age_ns = max(0, now_ns - self.at_ns)
        return self.rtt_ns // 2 + age_ns * DRIFT_NS_PER_S // 1_000_000_000


class OffsetFilter:
    """The best of the last exchanges with one boot of the records store: half its round trip is
    its error, and each second of age adds what two clocks may drift apart meanwhile."""

    def __init__(self) -> None:
        self._exchanges: deque[_Exchange] = deque(maxlen=KEPT)
        self._records_boot_id = ""

    def add(self, reply: ClockReply, heard_ns: int) -> bool:
        """Takes a reply in; False for one whose stamps cannot be (they run backwards or too long)."""
        held_ns = reply.replied_ns - reply.received_ns
        rtt_ns = heard_ns - reply.sent_ns - held_ns
        if held_ns < 0 or not 0 <= rtt_ns <= _MOST_RTT_NS:
            return False
        if reply.records_boot_id != self._records_boot_id:
            self._records_boot_id = reply.records_boot_id
            self._exchanges.clear()
        offset_ns = (reply.received_ns - reply.sent_ns + reply.replied_ns - heard_ns) // 2
        self._exchanges.append(_Exchange(offset_ns, rtt_ns, heard_ns))
        return True

    def offset(self, now_ns: int) -> ClockOffset | None:
        """What holds now, None before the first exchange."""
        if not self._exchanges:
            return None
        best = min(self._exchanges, key=lambda exchange: exchange.error_ns(now_ns))
        return ClockOffset(best.offset_ns, best.error_ns(now_ns))


class ClockExchange:
    """Asks the records store for its clock; all methods belong to the event loop's thread."""

    def __init__(self, requester: str, send: Callable[[bytes], None]) -> None:
        self._requester = requester
        self._send = send
        self._filter = OffsetFilter()
        self._sent: deque[int] = deque(maxlen=_OUTSTANDING)
        self._connected = asyncio.Event()
        self._reconnected = asyncio.Event()

    def connected(self) -> None:
        """Subscribed to our own clock topic: a burst begins."""
        self._sent.clear()
        self._connected.set()
        self._reconnected.set()

    def disconnected(self) -> None:
        """Nothing is asked until the next connection; what is known ages."""
        self._connected.clear()

    def receive(self, payload: bytes, heard_ns: int) -> bool:
        """A message on our clock topic; False where it answers no question of ours.

        Raises PeerError for what is malformed.
        """
        reply = decode(payload)
        if not isinstance(reply, ClockReply) or reply.boot_id != boot_id():
            return False
        if reply.sent_ns not in self._sent:
            return False
        self._sent.remove(reply.sent_ns)
        return self._filter.add(reply, heard_ns)

    def offset(self) -> ClockOffset | None:
        """What holds now, None while it is not known."""
        return self._filter.offset(monotonic_ns())

    async def run(self) -> None:
        """Asks for ever, while connected."""
        while True:
            await self._connected.wait()
            self._reconnected.clear()
            for _ in range(BURST):
                self._ask()
                await asyncio.sleep(BURST_GAP_S)
            while self._connected.is_set() and not self._reconnected.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD_S):
                        await self._reconnected.wait()
                        break
                self._ask()

    def _ask(self) -> None:
        if not self._connected.is_set():
            return
        sent_ns = monotonic_ns()
        self._sent.append(sent_ns)
        asked = ClockRequest(requester=self._requester, boot_id=boot_id(), sent_ns=sent_ns)
        self._send(encode(asked))
