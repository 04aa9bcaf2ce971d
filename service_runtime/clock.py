"""How far this machine's monotonic clock is from the records store's, by four timestamps; it sets no clock.

`OffsetFilter` is pure. `ClockExchange` asks, four times at each connection and each time that the
records store starts, and then now and then, through whatever `send` it is given; a program hands it
the replies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service_runtime.boot import boot_id, monotonic_ns
from wire_protocol.clock_legs import DRIFT_NS_PER_S, ClockLeg
from wire_protocol.codec import decode, encode
from wire_protocol.messages import ClockReply, ClockRequest

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


class OffsetFilter:
    """The surest of the exchanges with one boot of the records store: half its round trip is its
    error, and each second of age adds what two clocks may drift apart meanwhile.

    All age alike, so the surest one stays it until a newer one is surer. One that contradicts it
    (a machine slept, and its clock with it) takes its place, however unsure.
    """

    def __init__(self) -> None:
        self._best: ClockLeg | None = None

    def add(self, reply: ClockReply, heard_ns: int) -> bool:
        """Takes a reply in; False for one whose stamps cannot be (they run backwards or too long)."""
        held_ns = reply.replied_ns - reply.received_ns
        took_ns = heard_ns - reply.sent_ns
        if held_ns < 0 or not 0 <= took_ns - held_ns <= _MOST_RTT_NS:
            return False
        # The clocks also drift during the exchange, which moves its stamps and its round trip.
        error_ns = (took_ns - held_ns) // 2 + 2 * took_ns * DRIFT_NS_PER_S // 1_000_000_000 + 2
        new = ClockLeg(
            boot_id=reply.boot_id,
            records_boot_id=reply.records_boot_id,
            offset_ns=(reply.received_ns - reply.sent_ns + reply.replied_ns - heard_ns) // 2,
            error_ns=error_ns,
            at_ns=heard_ns,
        )
        if self._best is None or _contradict(self._best, new) or _is_surer(new, self._best):
            self._best = new
        return True

    def leg(self) -> ClockLeg | None:
        """The best comparison, None before the first."""
        return self._best

    def offset(self, now_ns: int) -> ClockOffset | None:
        """What holds now, None before the first exchange."""
        if self._best is None:
            return None
        return ClockOffset(self._best.offset_ns, self._best.error_at(now_ns))


def _contradict(old: ClockLeg, new: ClockLeg) -> bool:
    if old.records_boot_id != new.records_boot_id:
        return True
    return abs(old.offset_ns - new.offset_ns) > old.error_at(new.at_ns) + new.error_ns


def _is_surer(new: ClockLeg, old: ClockLeg) -> bool:
    return new.error_ns <= old.error_at(new.at_ns)


class ClockExchange:
    """Asks the records store for its clock; all methods belong to the event loop's thread."""

    def __init__(self, requester: str, send: Callable[[bytes], None]) -> None:
        self._requester = requester
        self._send = send
        self._filter = OffsetFilter()
        self._sent: deque[int] = deque(maxlen=_OUTSTANDING)
        self._store = ""
        self._connected = asyncio.Event()
        self._begin_anew = asyncio.Event()

    def connected(self) -> None:
        """Subscribed to our own clock topic: a burst begins."""
        self._sent.clear()
        self._connected.set()
        self._begin_anew.set()

    def disconnected(self) -> None:
        """Nothing is asked until the next connection; what is known ages."""
        self._connected.clear()

    def records_online(self, incarnation: str) -> None:
        """The records store is there. A burst begins with each of its lives: it may be on another
        boot, and what was asked while it was away is not answered."""
        if incarnation != self._store:
            self._store = incarnation
            self._begin_anew.set()

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

    def leg(self) -> ClockLeg | None:
        """The best comparison with the records store's clock, None while there is none."""
        return self._filter.leg()

    def offset(self) -> ClockOffset | None:
        """What holds now, None while it is not known."""
        return self._filter.offset(monotonic_ns())

    async def run(self) -> None:
        """Asks for ever, while connected."""
        while True:
            await self._connected.wait()
            self._begin_anew.clear()
            for _ in range(BURST):
                self._ask()
                await asyncio.sleep(BURST_GAP_S)
            while self._connected.is_set() and not self._begin_anew.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD_S):
                        await self._begin_anew.wait()
                        break
                self._ask()

    def _ask(self) -> None:
        if not self._connected.is_set():
            return
        sent_ns = monotonic_ns()
        self._sent.append(sent_ns)
        asked = ClockRequest(requester=self._requester, boot_id=boot_id(), sent_ns=sent_ns)
        self._send(encode(asked))
