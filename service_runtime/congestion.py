"""Chooses TCP's congestion control for a device's socket by the packets that had to be sent again; Linux only.

bbr does not take a lost packet for a full link, and with 2 % of them lost it is more than twice as fast as
cubic. But it stops every ten seconds to measure the round trip, which costs a slow link that loses nothing
5 % (docs/reliability.md). So a connection begins with bbr and goes over to the kernel's own choice, or to
cubic where that is bbr, while next to nothing is lost. Where the kernel has no bbr nothing is chosen.
"""

from __future__ import annotations

import socket as sockets
import struct
from contextlib import suppress
from dataclasses import dataclass

BBR = "bbr"
_CUBIC = "cubic"
#: For `SessionOptions.congestion`: bbr, or the kernel's own while the link loses nothing.
BY_LOSS = "by loss"
#: Losses are judged by so many segments: of 2 % lost, none in so many is seen in one of 170 samples.
SAMPLE_SEGMENTS = 256
_CLEAN_SHARE = 0.002
_LOSSY_SHARE = 0.008
#: Where the kernel's own was tried and packets got lost, it is tried again after this, doubling.
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0

# linux/tcp.h, struct tcp_info: tcpi_total_retrans and, since Linux 4.6, tcpi_data_segs_out.
_REPEATED = struct.Struct("=100xI")
_SEGMENTS = struct.Struct("=156xI")
_TCP_INFO_BYTES = 256
_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """What a socket has sent since it was connected, in segments with data."""

    segments: int
    repeated: int


def sent_by(raw: sockets.socket) -> Sent | None:
    """As the kernel counts; None where it does not."""
    option = getattr(sockets, "TCP_INFO", None)
    if option is None:
        return None
    try:
        info = raw.getsockopt(sockets.IPPROTO_TCP, option, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _SEGMENTS.size:
        return None
    return Sent(_SEGMENTS.unpack_from(info)[0], _REPEATED.unpack_from(info)[0])


class LossJudge:
    """Whether a link is clean, by what was sent over it; it knows no socket."""

    def __init__(self) -> None:
        self.is_clean = False
        self._since = Sent(0, 0)
        self._not_before_s = float("-inf")
        self._pause_s = FIRST_PAUSE_S

    def look(self, sent: Sent, now_s: float) -> bool:
        """Takes the counters at this time into account, and says whether the link is clean."""
        segments = sent.segments - self._since.segments
        repeated = sent.repeated - self._since.repeated
        # Losses in order are noticed at once, their absence only when enough was sent.
        is_lossy = repeated >= _LOSSY_SHARE * max(segments, SAMPLE_SEGMENTS)
        if segments < SAMPLE_SEGMENTS and not is_lossy:
            return self.is_clean
        self._since = sent
        if is_lossy and self.is_clean:
            self.is_clean = False
            self._not_before_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        elif repeated <= _CLEAN_SHARE * segments and now_s >= self._not_before_s:
            self.is_clean = True
        return self.is_clean


class CongestionByLoss:
    """Keeps one connected socket's congestion control in line with its losses."""

    def __init__(self, raw: sockets.socket) -> None:
        self._raw = raw
        self._judge = LossJudge()
        own = congestion_of(raw)
        self._for_clean = _CUBIC if own == BBR else own
        self._now = BBR if own and set_congestion(raw, BBR) else ""

    def look(self, now_s: float) -> None:
        """To be called about once a second."""
        if not self._now:
            return  # there is nothing to choose between
        sent = sent_by(self._raw)
        if sent is None:
            return
        wanted = self._for_clean if self._judge.look(sent, now_s) else BBR
        if wanted != self._now and set_congestion(self._raw, wanted):
            self._now = wanted


def congestion_of(raw: sockets.socket) -> str:
    """The name of a socket's congestion control, "" where that cannot be asked."""
    option = getattr(sockets, "TCP_CONGESTION", None)
    if option is None:
        return ""
    try:
        name = raw.getsockopt(sockets.IPPROTO_TCP, option, _NAME_BYTES)
    except OSError:
        return ""
    return name.partition(b"\0")[0].decode("ascii", "replace")


def set_congestion(raw: sockets.socket, name: str) -> bool:
    """False where this kernel has no such congestion control, or a program may not have it."""
    option = getattr(sockets, "TCP_CONGESTION", None)
    if option is None:
        return False
    with suppress(OSError):
        raw.setsockopt(sockets.IPPROTO_TCP, option, name.encode("ascii"))
        return True
    return False
