"""One attempt at one image on the device: what is left to send, out and acknowledged; it holds no bytes.

`pending` are bytes never sent or to be sent again, `reading` those asked of the outbox, `out` the
chunks sent and not acknowledged. Every byte of the image is in one of them or acknowledged.
(Just over 250 lines: the four sets change together.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from wire_protocol.ahead import Terms
from wire_protocol.manifest import Manifest
from wire_protocol.messages import Progress, Range
from wire_protocol.pacing import Pace
from wire_protocol.ranges import Ranges

#: A missing chunk is sent again at the latest after this many round trips and some slack, also
#: where nothing sent after it has arrived.
LOSS_RTTS = 1.5
LOSS_SLACK_S = 0.02


class Phase(Enum):
    """How far an attempt is."""

    READING = auto()  #: the bytes of an inline offer are being read, or its preview is being made
    OFFERED = auto()
    CLAIMED = auto()


@dataclass(slots=True)
class Sent:
    """A chunk that is out."""

    offset: int
    end: int
    order: int
    at: float
    delivered: int
    limited: bool
    again: bool


class Upload:
    """The bookkeeping of one attempt; the Sender decides, this counts."""

    __slots__ = (
        "_again",
        "_newest",
        "_pace",
        "ahead",
        "attempt",
        "complete_at",
        "doubted",
        "expires",
        "first_sent",
        "inline",
        "last_n",
        "lease_s",
        "lease_until",
        "limit",
        "manifest",
        "max_chunk",
        "out",
        "pending",
        "phase",
        "preview",
        "probe_at",
        "probes",
        "reading",
        "resuming",
        "sent_at",
        "sent_through",
        "stored",
        "stored_wait_ends",
        "topic",
        "upto",
        "worker",
    )

    def __init__(
        self,
        attempt: int,
        manifest: Manifest,
        *,
        stored: bool,
        inline: bool,
        previewed: bool = False,
        pace: Pace,
        now: float,
    ) -> None:
        self.attempt = attempt
        self.manifest = manifest
        self.stored = stored
        self.inline = inline
        self._pace = pace
        self.phase = Phase.READING if inline or previewed else Phase.OFFERED
        #: Of the offer's preview, until the offer is answered.
        self.preview: Sent | None = None
        self.sent_at = now
        #: Before the Claim bytes below this limit may go to that worker; None: no byte may.
        self.ahead: Terms | None = None
        #: When an unanswered offer is over.
        self.expires = float("inf")
        self.worker = ""
        self.topic = ""
        self.lease_s = 0.0
        self.lease_until = float("inf")
        self.limit = 0
        self.max_chunk = 0
        self.last_n = -1
        self.upto = 0
        self.pending = Ranges() if stored or inline else Ranges([(0, manifest.size_bytes)])
        self.reading: dict[int, int] = {}
        self.out: dict[int, Sent] = {}
        self.sent_through = 0
        self.first_sent = False
        self.probe_at = float("inf")
        self.probes = 0
        #: After a reconnect nothing is sent before the worker has said what it has.
        self.resuming = False
        #: When the last byte was acknowledged.
        self.complete_at: float | None = None
        #: When the records store is asked, because Stored did not come.
        self.stored_wait_ends = float("inf")
        self.doubted = False
        self._again = Ranges()
        self._newest = -1

    @property
    def rank(self) -> tuple[bool, int]:
        """Order among transfers: stat first, then the oldest."""
        return (self.manifest.priority != "stat", self.manifest.seq)

    @property
    def uploading(self) -> bool:
        """Holds one of the claimed transfers' places: bytes are left to be sent, or nobody took them."""
        if self.stored or self.inline:
            return False
        return self.phase is not Phase.CLAIMED or bool(self.pending or self.reading)

    def sendable(self) -> Range | None:
        """The next bytes that may be sent: below the limit, or a gap the worker reported."""
        if self.phase is Phase.OFFERED and self.ahead is not None:
            limit = self.ahead.limit
        elif self.phase is Phase.CLAIMED and not self.resuming:
            limit = max(self.limit, self.upto)
        else:
            return None
        first = self.pending.first()
        if first is None:
            return None
        start, end = first
        end = min(end, limit)
        return (start, end) if start < end else None

    def take(self, start: int, end: int) -> None:
        """[start, end) is being read."""
        self.pending.remove(start, end)
        self.reading[start] = end
        if self._pace.in_flight == 0:
            self._pace.was_idle()
        self._pace.in_flight += end - start

    def was_read(self, offset: int, size: int) -> bool:
        """Whether this read was asked for and came whole; its bytes are then no longer reading."""
        end = self.reading.get(offset)
        if end is None or end - offset != size:
            return False
        del self.reading[offset]
        self._pace.in_flight -= size
        return True

    def sent(self, offset: int, size: int, order: int, now: float) -> None:
        """A chunk went out."""
        pace = self._pace
        end = offset + size
        again = bool(self._again) and bool(self._again.within(offset, end))
        self.out[offset] = Sent(offset, end, order, now, pace.delivered, pace.app_limited(), again)
        pace.in_flight += size
        self.sent_through = max(self.sent_through, end)

    def sent_preview(self, size: int, order: int, now: float) -> None:
        """The offer went out with so many bytes of preview."""
        pace = self._pace
        if pace.in_flight == 0:
            pace.was_idle()
        self.preview = Sent(0, size, order, now, pace.delivered, pace.app_limited(), again=False)
        pace.in_flight += size

    def lost(self, offset: int) -> None:
        """The broker did not take this chunk."""
        chunk = self.out.pop(offset, None)
        if chunk is not None:
            self._give_up(chunk, [(chunk.offset, chunk.end)])

    def forget_flight(self) -> None:
        """Nothing is in flight any more; what is on its way is for the next Progress to say."""
        for chunk in self.out.values():
            self._pace.in_flight -= chunk.end - chunk.offset
        for start, end in self.reading.items():
            self._pace.in_flight -= end - start
        if self.preview is not None:
            self._pace.in_flight -= self.preview.end
            self.preview = None
        self.out.clear()
        self.reading.clear()

    def worker_has(self, have: tuple[Range, ...]) -> None:
        """A Claim: these bytes are there already; those sent ahead of it are on their way."""
        size = self.manifest.size_bytes
        self.pending = Ranges([(0, size)])
        for start, end in have:
            self.pending.remove(start, min(end, size))
        for chunk in self.out.values():
            self.pending.remove(chunk.offset, chunk.end)
        for start, end in self.reading.items():
            self.pending.remove(start, end)
        self._again = Ranges()

    def heard(self, progress: Progress, now: float) -> bool:
        """Takes a Progress in; False when it is older than one already taken."""
        if progress.n <= self.last_n:
            return False
        self.last_n = progress.n
        size = self.manifest.size_bytes
        self.limit = max(self.limit, min(progress.limit, size))
        self.upto = max(self.upto, min(progress.upto, size))
        if self.resuming:
            self._resume(progress)
            return True
        missing = progress.missing
        newest: Sent | None = None
        gone: list[Sent] = []
        for chunk in self.out.values():
            if chunk.end <= progress.upto and not (missing and _overlap(missing, chunk)):
                gone.append(chunk)
                if newest is None or chunk.order > newest.order:
                    newest = chunk
        for chunk in gone:
            del self.out[chunk.offset]
            self._pace.in_flight -= chunk.end - chunk.offset
            self._pace.delivered += chunk.end - chunk.offset
        if newest is not None:
            self._newest = max(self._newest, newest.order)
            self._sample(newest, now)
        if missing:
            self._find_losses(missing, now)
        return True

    def is_complete(self) -> bool:
        """Whether the worker has every byte."""
        return not (self.pending or self.out or self.reading or self.resuming)

    def _sample(self, chunk: Sent, now: float) -> None:
        elapsed = now - chunk.at
        if not chunk.again:
            self._pace.sample_rtt(elapsed, now)
        size = self._pace.delivered - chunk.delivered
        self._pace.sample_rate(size, elapsed, chunk.limited, now)

    def _resume(self, progress: Progress) -> None:
        self.resuming = False
        self.forget_flight()
        self.pending = Ranges([(progress.upto, self.manifest.size_bytes), *progress.missing])
        self._again = Ranges(self.pending)

    def _find_losses(self, missing: tuple[Range, ...], now: float) -> None:
        patience = now - (LOSS_RTTS * self._pace.srtt + LOSS_SLACK_S)
        for chunk in list(self.out.values()):
            parts = _overlap(missing, chunk)
            if parts and (chunk.order < self._newest or chunk.at <= patience):
                del self.out[chunk.offset]
                self._give_up(chunk, parts)
        # A gap that is in no list is a fault of this bookkeeping or of the worker: send it again.
        for start, end in missing:
            hole = Ranges([(start, min(end, self.manifest.size_bytes))])
            for chunk in self.out.values():
                hole.remove(chunk.offset, chunk.end)
            for begin, stop in self.reading.items():
                hole.remove(begin, stop)
            for part in hole:
                self.pending.add(*part)
                self._again.add(*part)

    def _give_up(self, chunk: Sent, parts: list[Range]) -> None:
        self._pace.in_flight -= chunk.end - chunk.offset
        for start, end in parts:
            self.pending.add(start, end)
            self._again.add(start, end)


def _overlap(missing: tuple[Range, ...], chunk: Sent) -> list[Range]:
    return [
        (max(start, chunk.offset), min(end, chunk.end))
        for start, end in missing
        if start < chunk.end and end > chunk.offset
    ]
