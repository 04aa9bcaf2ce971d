"""How fast a device may send: delivery rate, round trips, window and chunk size; it sends nothing.

The window is rate x (least round trip + 200 ms + hold-ups): enough to fill the link, and a queue of
about 200 ms, or two chunks, at its slowest hop. A hold-up is what a round trip took beyond its bytes
at that rate: on a lossy link TCP keeps back what has arrived until a lost packet has come again, and
without them the window would be too small to keep the link busy meanwhile. The rate is the greatest delivery
rate of the last seconds, in which samples taken while there was too little to send count only
upwards (as in BBR). Until the rate stops growing the window has room for two round trips, for a
rate that was measured with a small window says nothing of the link.
"""

from __future__ import annotations

from wire_protocol.machine_settings import SenderSettings
from wire_protocol.messages import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, PACKET_OVERHEAD_BYTES

RATE_PERIOD_S = 2.0
MIN_RTT_PERIOD_S = 30.0
SHORTEST_RTT_S = 1e-4
LONGEST_DRAIN_S = 30.0
#: The window covers so many mean hold-ups, up to this long.
HOLD_UPS = 3.0
LONGEST_HOLD_UP_S = 1.0
#: The link is full when so many round trips in a row raised the rate by less than this.
FULL_ROUNDS = 3
FULL_GROWTH = 1.25
FILLING_TRIPS = 2
#: Beyond the round trip at least, however slow the link.
_QUEUED_CHUNKS = 2


class Pace:
    """The estimates of one connection path, kept over reconnects until newer samples replace them."""

    __slots__ = (
        "_chunk_cap",
        "_full_rate",
        "_full_rounds",
        "_hold_up",
        "_idle_at",
        "_is_filling",
        "_min_rtt_before",
        "_min_rtt_now",
        "_packet_room",
        "_rate_before",
        "_rate_now",
        "_rate_since",
        "_round_ends",
        "_rtt_since",
        "_settings",
        "delivered",
        "in_flight",
        "srtt",
    )

    def __init__(self, settings: SenderSettings) -> None:
        self._settings = settings
        self._chunk_cap = settings.chunk_max_bytes
        self._packet_room = MAX_CHUNK_BYTES
        self._rate_now = self._rate_before = 0.0
        self._rate_since = self._rtt_since = float("-inf")
        self._min_rtt_now = self._min_rtt_before = float("inf")
        self._hold_up = 0.0
        self._idle_at = 0
        self._is_filling = True
        self._full_rate = 0.0
        self._full_rounds = 0
        #: When a byte sent after this many had been delivered is acknowledged, a round trip is over.
        self._round_ends = 0
        self.srtt = 0.0
        #: Bytes acknowledged since the start; only differences matter.
        self.delivered = 0
        #: Bytes that were read or sent and are neither acknowledged nor given up.
        self.in_flight = 0

    @property
    def rate(self) -> float:
        """Bytes a second, 0 while unknown."""
        return max(self._rate_now, self._rate_before)

    @property
    def min_rtt(self) -> float:
        """Least round trip of the last 30 to 60 s, 0 while unknown."""
        least = min(self._min_rtt_now, self._min_rtt_before)
        return 0.0 if least == float("inf") else least

    def packet_limit(self, maximum_packet_size: int) -> None:
        """The broker's Maximum Packet Size caps the chunk."""
        room = maximum_packet_size - PACKET_OVERHEAD_BYTES
        self._packet_room = max(1, min(MAX_CHUNK_BYTES, room))
        self._chunk_cap = min(self._settings.chunk_max_bytes, self._packet_room)

    def chunk_bytes(self) -> int:
        """About 100 ms of the link, within the limits."""
        s = self._settings
        wanted = s.chunk_first_bytes
        if self.rate:
            wanted = max(int(self.rate * s.chunk_s), s.chunk_least_bytes)
        return min(wanted, self._chunk_cap)

    def inline_bytes(self) -> int:
        """The largest image that rides in its offer: a chunk, and on slow links still a preview."""
        return max(self.chunk_bytes(), min(self._settings.inline_bytes, self._chunk_cap))

    def preview_bytes(self, image_bytes: int) -> int:
        """How large a preview of such an image may be; 0 where it goes as quickly without one."""
        s = self._settings
        # Before a rate is known: as if the first window made a round trip.
        rate = self.rate or s.window_first_bytes / max(self.srtt, SHORTEST_RTT_S)
        if image_bytes / rate <= s.preview_after_s:
            return 0
        # A first flight is ten segments; what does not fit waits for a round trip more.
        whole = s.preview_bytes if self.rate else min(s.preview_bytes, s.preview_first_bytes)
        most = min(whole, image_bytes // s.preview_share, self._packet_room)
        return most if most >= MIN_CHUNK_BYTES else 0  # there is nothing to see in less

    def window_bytes(self) -> int:
        """How much may be in flight."""
        held_s = min(HOLD_UPS * self._hold_up, LONGEST_HOLD_UP_S)
        trips = FILLING_TRIPS if self._is_filling else 1
        window = int(self.rate * (trips * self.min_rtt + held_s))
        # Where a chunk takes long, the next one has to stand behind it all the same.
        queue = max(int(self.rate * self._settings.window_s), _QUEUED_CHUNKS * self.chunk_bytes())
        least = self._settings.window_first_bytes if self._is_filling else 0
        return max(window + queue if self.rate else self.chunk_bytes(), least)

    def was_idle(self) -> None:
        """Nothing is in flight: what is sent before the next acknowledgement finds an empty link."""
        self._idle_at = self.delivered

    def drain_s(self) -> float:
        """How long what is in flight needs at the present rate (or the first), within reason."""
        return min(self.in_flight / (self.rate or self._first_rate()), LONGEST_DRAIN_S)

    def app_limited(self) -> bool:
        """Whether less is in flight than the window allows, so that a sample says little."""
        return self.in_flight < self.window_bytes() // 2

    def expect_rtt(self, rtt_s: float) -> None:
        """A round trip to the broker, which is part of every other: good for the first waits."""
        if not self.srtt:
            self.srtt = rtt_s

    def sample_rtt(self, rtt_s: float, now: float) -> None:
        """One unambiguous round trip."""
        rtt_s = max(rtt_s, SHORTEST_RTT_S)
        # The first one takes the place of what was expected.
        self.srtt = self.srtt + (rtt_s - self.srtt) / 8 if self.min_rtt else rtt_s
        if now - self._rtt_since >= MIN_RTT_PERIOD_S:
            self._min_rtt_before, self._min_rtt_now = self._min_rtt_now, rtt_s
            self._rtt_since = now
        elif rtt_s < self._min_rtt_now:
            self._min_rtt_now = rtt_s

    def _first_rate(self) -> float:
        """The rate that the first window stands for."""
        s = self._settings
        return s.window_first_bytes / (max(self.min_rtt, self.srtt) + s.window_s)

    def sample_rate(self, size: int, elapsed_s: float, limited: bool, now: float) -> None:
        """`size` bytes were delivered in `elapsed_s`; `limited`: there was too little to send."""
        if self.rate and self.delivered - size > self._idle_at:
            # The bytes of a full link in order: what was delivered meanwhile was ahead of this.
            held = elapsed_s - max(self.min_rtt, size / self.rate)
            self._hold_up += (max(0.0, held) - self._hold_up) / 8
        rate = size / max(elapsed_s, SHORTEST_RTT_S)
        if limited and rate <= (self.rate or self._first_rate()):
            return  # a few bytes that went alone say nothing of a slow link
        if now - self._rate_since >= RATE_PERIOD_S:
            if self._rate_now:
                self._rate_before = self._rate_now
            self._rate_now = rate
            self._rate_since = now
        elif rate > self._rate_now:
            self._rate_now = rate
        if self._is_filling and self.delivered - size >= self._round_ends:
            self._end_round()

    def _end_round(self) -> None:
        self._round_ends = self.delivered
        if self.rate >= self._full_rate * FULL_GROWTH:
            self._full_rate = self.rate
            self._full_rounds = 0
            return
        self._full_rounds += 1
        self._is_filling = self._full_rounds < FULL_ROUNDS
