"""How fast a device may send: delivery rate, round trips, window and chunk size; it sends nothing.

The window is rate x (least round trip + 200 ms): enough to fill the link, and a queue of at most
about 200 ms at its slowest hop. The rate is the greatest delivery rate of the last seconds, in
which samples taken while there was too little to send count only upwards (as in BBR).
"""

from __future__ import annotations

from wire_protocol.machine_settings import SenderSettings
from wire_protocol.messages import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, PACKET_OVERHEAD_BYTES

RATE_PERIOD_S = 2.0
MIN_RTT_PERIOD_S = 30.0
SHORTEST_RTT_S = 1e-4
LONGEST_DRAIN_S = 30.0


class Pace:
    """The estimates of one connection path, kept over reconnects until newer samples replace them."""

    __slots__ = (
        "_chunk_cap",
        "_min_rtt_before",
        "_min_rtt_now",
        "_rate_before",
        "_rate_now",
        "_rate_since",
        "_rtt_since",
        "_settings",
        "delivered",
        "in_flight",
        "srtt",
    )

    def __init__(self, settings: SenderSettings) -> None:
        self._settings = settings
        self._chunk_cap = settings.chunk_max_bytes
        self._rate_now = self._rate_before = 0.0
        self._rate_since = self._rtt_since = float("-inf")
        self._min_rtt_now = self._min_rtt_before = float("inf")
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
        self._chunk_cap = max(1, min(self._settings.chunk_max_bytes, MAX_CHUNK_BYTES, room))

    def chunk_bytes(self) -> int:
        """About 250 ms of the link, within the limits."""
        rate = self.rate
        wanted = int(rate * self._settings.chunk_s) if rate else self._settings.chunk_first_bytes
        return min(max(wanted, MIN_CHUNK_BYTES), self._chunk_cap)

    def window_bytes(self) -> int:
        """How much may be in flight."""
        rate = self.rate
        if not rate:
            return max(self._settings.window_first_bytes, self.chunk_bytes())
        return max(self.chunk_bytes(), int(rate * (self.min_rtt + self._settings.window_s)))

    def drain_s(self) -> float:
        """How long what is in flight needs at the present rate, within reason."""
        rate = self.rate
        return min(self.in_flight / rate, LONGEST_DRAIN_S) if rate else 0.0

    def app_limited(self) -> bool:
        """Whether less is in flight than the window allows, so that a sample says little."""
        return self.in_flight < self.window_bytes() // 2

    def sample_rtt(self, rtt_s: float, now: float) -> None:
        """One unambiguous round trip."""
        rtt_s = max(rtt_s, SHORTEST_RTT_S)
        self.srtt = rtt_s if not self.srtt else self.srtt + (rtt_s - self.srtt) / 8
        if now - self._rtt_since >= MIN_RTT_PERIOD_S:
            self._min_rtt_before, self._min_rtt_now = self._min_rtt_now, rtt_s
            self._rtt_since = now
        elif rtt_s < self._min_rtt_now:
            self._min_rtt_now = rtt_s

    def _first_rate(self) -> float:
        """The rate that the first window stands for."""
        s = self._settings
        return s.window_first_bytes / (self.min_rtt + s.window_s)

    def sample_rate(self, size: int, elapsed_s: float, limited: bool, now: float) -> None:
        """`size` bytes were delivered in `elapsed_s`; `limited`: there was too little to send."""
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
