"""Measures a link by UDP packets across it: its rate, round trip and losses, without TCP in between.

The kernel stamps arrivals, so that a busy machine does not blur the rate. A train of packets that
fits the link's queue gives the rate; many small ones in such trains give the loss.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Iterator

from benchmarks.links.check import problems
from benchmarks.links.link import Address, Measured
from benchmarks.links.profile import Direction, LinkProfile

#: Linux's numbers; Python has no names for them. The first is the kernel's time of arrival.
_SO_TIMESTAMPNS, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 35, 32, 33
_TIMESPEC = struct.Struct("@qq")
_NUMBER = struct.Struct("!I")
_UDP_HEADER_BYTES = 28
_BUFFER_BYTES = 8 * 1024 * 1024
_PINGS = 5
#: Of the queue, so that nothing overflows that was not meant to.
_TRAIN_SHARE = 0.7
_MOST_PACKETS = 400
_LOSS_PACKETS = 2000
_SMALL_BYTES = 8
#: Beyond this many standard deviations a loss is not the wanted one.
_DEVIATIONS = 4.0
_BURST_S = 0.0005
_WITHOUT_RATE_PACKETS = 100


def burst_bytes(profile: LinkProfile, rate_bit_per_s: float) -> int:
    """What may leave at once: one packet, and at the highest rates the timer's slack."""
    return max(profile.mtu_bytes + 64, int(rate_bit_per_s / 8 * _BURST_S))


def measure_datagrams(
    far: socket.socket,
    near: socket.socket,
    profile: LinkProfile,
    *,
    implementation_error_ms: float,
) -> Measured:
    """`far` is behind the link, `near` before it; both are UDP sockets, bound, and not used again."""
    for each in (far, near):
        each.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        each.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        each.settimeout(profile.round_trip_s * 1.5 + profile.queue_ms / 1000 + 0.5)
    trip_ms = _round_trip_s(far, near) * 1000
    rate_up, rate_down = (
        _rate(far, near, profile, profile.up),
        _rate(near, far, profile, profile.down),
    )
    loss_up, loss_down = (
        _loss(far, near, profile, profile.up),
        _loss(near, far, profile, profile.down),
    )
    measured = Measured(
        rate_up_bit_per_s=rate_up,
        rate_down_bit_per_s=rate_down,
        round_trip_ms=trip_ms,
        loss_up_percent=loss_up[1],
        loss_down_percent=loss_down[1],
    )
    found = list(problems(measured, profile, implementation_error_ms=implementation_error_ms))
    for way, wanted, (count, percent) in (
        ("up", profile.up.loss_percent, loss_up),
        ("down", profile.down.loss_percent, loss_down),
    ):
        share = wanted / 100
        slack = _DEVIATIONS * math.sqrt(share * (1 - share) / count) * 100
        if abs(percent - wanted) > slack:
            found.append(f"{percent:.2f} % lost {way} where {wanted:g} % were wanted")
    return measured.model_copy(update={"problems": tuple(found)})


def _round_trip_s(far: socket.socket, near: socket.socket) -> float:
    there, least = _address(near), float("inf")
    for number in range(_PINGS * 4):
        began = time.monotonic()
        try:
            far.sendto(b"?", there)
            _, asker = near.recvfrom(16)
            near.sendto(b"!", asker)
            far.recv(16)
        except TimeoutError:  # lost on the way
            continue
        least = min(least, time.monotonic() - began)
        if least < float("inf") and number >= _PINGS - 1:
            break
    return least


def _rate(
    source: socket.socket, sink: socket.socket, profile: LinkProfile, way: Direction
) -> float | None:
    if way.rate_bit_per_s is None:
        return None
    size = profile.mtu_bytes - _UDP_HEADER_BYTES
    room = way.rate_bit_per_s / 8 * profile.queue_ms / 1000 * _TRAIN_SHARE
    count = min(max(int(room / profile.mtu_bytes), 4), _MOST_PACKETS)
    at_once = burst_bytes(profile, way.rate_bit_per_s) // profile.mtu_bytes
    arrived = [item for item in _train(source, sink, count, size) if item[0] >= at_once]
    if len(arrived) < 2:
        return 0.0
    (first, began), (last, ended) = arrived[0], arrived[-1]
    return (last - first) * profile.mtu_bytes * 8 / max(ended - began, 1e-6)


def _loss(
    source: socket.socket, sink: socket.socket, profile: LinkProfile, way: Direction
) -> tuple[int, float]:
    """How many packets were sent, and how many of them were lost, in percent."""
    wanted = _LOSS_PACKETS if way.loss_percent else _WITHOUT_RATE_PACKETS
    at_once = wanted
    if way.rate_bit_per_s is not None:
        room = way.rate_bit_per_s / 8 * profile.queue_ms / 1000 * _TRAIN_SHARE
        at_once = max(1, int(room / (_SMALL_BYTES + _UDP_HEADER_BYTES)))
    sent = arrived = 0
    while sent < wanted:
        count = min(at_once, wanted - sent)
        sent += count
        arrived += sum(1 for _ in _train(source, sink, count, _SMALL_BYTES))
    return sent, 100 * (sent - arrived) / sent


def _train(
    source: socket.socket, sink: socket.socket, count: int, size: int
) -> Iterator[tuple[int, float]]:
    """Sends so many packets at once; the number and kernel time of each that arrives."""
    there = _address(sink)
    filling = bytes(size - _NUMBER.size)
    for number in range(count):
        source.sendto(_NUMBER.pack(number) + filling, there)
    while True:
        try:
            data, notes, _, _ = sink.recvmsg(65_536, 128)
        except TimeoutError:
            return  # the last ones were lost
        (number,) = _NUMBER.unpack_from(data)
        stamps = [_TIMESPEC.unpack(raw) for _, kind, raw in notes if kind == _SO_TIMESTAMPNS]
        seconds, nanoseconds = stamps[0]
        yield number, seconds + nanoseconds / 1e9
        if number == count - 1:
            return


def _address(of: socket.socket) -> Address:
    host, port = of.getsockname()
    return Address(host, port)
