"""Every wait of a device, as functions of its settings, the round trip and what failed; it watches no clock."""

from __future__ import annotations

from collections.abc import Callable

from wire_protocol.machine_settings import SenderSettings
from wire_protocol.pacing import Pace
from wire_protocol.upload import Upload

_MOST_DOUBLINGS = 16


class Patience:
    """How long to wait before trying again."""

    def __init__(
        self, *, settings: SenderSettings, pace: Pace, random64: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._random64 = random64

    def jitter(self) -> float:
        """From 0 to 1."""
        return self._random64() / 2**64

    def for_answer(self, silences: int) -> float:
        """To an offer, after so many that nobody answered."""
        s = self._settings
        first = max(s.offer_wait_s, s.offer_wait_rtts * self._pace.srtt)
        return doubled(first, silences, max(s.offer_wait_max_s, first)) + self._pace.drain_s()

    def after_busy(self, asked_s: float, busies: int) -> float:
        """Before the next offer, after so many Busy in a row."""
        longest = max(self._settings.busy_max_s, asked_s)
        return doubled(asked_s, busies, longest) * (1 + self.jitter() / 2)

    def for_resume(self) -> float:
        """For the old worker's word, after a reconnect."""
        s = self._settings
        return max(s.resume_wait_s, s.resume_wait_rtts * self._pace.srtt)

    def before_probe(self, upload: Upload) -> float:
        """Without a word of the worker: short where bytes are out, long where there is only a lease."""
        s = self._settings
        longest = upload.lease_s / 3
        first = max(s.probe_after_s, s.probe_after_rtts * self._pace.srtt)
        if upload.out or upload.resuming:
            first += self._pace.drain_s()
        elif upload.is_complete():
            first = max(first, s.stored_probe_s)
        else:
            return longest
        return doubled(first, upload.probes, max(longest, first))

    def after_failures(self, failures: int) -> float:
        """Of claimed attempts at one image: at once twice, then with growing pauses."""
        s = self._settings
        return doubled(s.retry_first_s, failures - 3, s.retry_max_s) if failures > 2 else 0.0

    def backoff(self, times: int) -> float:
        """Of one image that was offered again, or whose digest did not fit, so many times before."""
        s = self._settings
        return doubled(s.backoff_first_s, times, s.backoff_max_s)


def doubled(first: float, times: int, most: float) -> float:
    """`first`, doubled so many times, but never above `most`."""
    return float(min(first * 2 ** min(times, _MOST_DOUBLINGS), most))
