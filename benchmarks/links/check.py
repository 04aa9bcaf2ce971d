"""Measures a link by TCP streams through it, against its profile; it sends nothing that is not its own.

The far end counts what arrives from its first block to its last, so that neither handshakes nor
TCP's start count; the profile's rate is one of whole packets, so headers are added.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from benchmarks.links.link import Address, Measured
from benchmarks.links.profile import Direction, LinkProfile

#: How much of the link's time a measurement of its rate takes.
_RATE_S = 0.6
_LEAST_BYTES, _MOST_BYTES = 24 * 1024, 16 * 1024 * 1024
_PINGS = 5
#: What a rate may be off by, and a round trip beside the error of the implementation.
RATE_TOLERANCE = 0.05
ROUND_TRIP_TOLERANCE = 0.05
_REQUEST = struct.Struct("<cI")
_COUNT = struct.Struct("<Id")
_BLOCK = 64 * 1024


class ProbeServer:
    """The far end of the measurement, a thread on loopback."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((host, 0))
        self.address = Address(host, self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="link-probe")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed: that is the end
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError, EOFError):
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.settimeout(30)
                    self._answer(client)

    @staticmethod
    def _answer(client: socket.socket) -> None:
        while True:
            what, size = _REQUEST.unpack(_receive(client, _REQUEST.size))
            if what == b"P":
                client.sendall(b"p")
            elif what == b"U":
                client.sendall(_COUNT.pack(*_take(client, size)))
            else:
                client.sendall(bytes(size))


def measure_streams(
    address: Address, profile: LinkProfile, *, implementation_error_ms: float
) -> Measured:
    """Rates and round trip through `address`, at whose far end a ProbeServer answers."""
    with socket.create_connection(address, timeout=30) as probe:
        probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        round_trip_ms = min(_ping(probe) for _ in range(_PINGS)) * 1000
        up = down = None
        if profile.up.rate_bit_per_s is not None:
            size = _amount(profile.up)
            probe.sendall(_REQUEST.pack(b"U", size))
            probe.sendall(bytes(size))
            up = _rate(profile, *_COUNT.unpack(_receive(probe, _COUNT.size)))
        if profile.down.rate_bit_per_s is not None:
            size = _amount(profile.down)
            probe.sendall(_REQUEST.pack(b"D", size))
            down = _rate(profile, *_take(probe, size))
    measured = Measured(rate_up_bit_per_s=up, rate_down_bit_per_s=down, round_trip_ms=round_trip_ms)
    found = problems(measured, profile, implementation_error_ms=implementation_error_ms)
    return measured.model_copy(update={"problems": found})


def problems(
    measured: Measured, profile: LinkProfile, *, implementation_error_ms: float
) -> tuple[str, ...]:
    """What is off by more than the tolerance, in words."""
    found = []
    for way, wanted, rate in (
        ("up", profile.up.rate_bit_per_s, measured.rate_up_bit_per_s),
        ("down", profile.down.rate_bit_per_s, measured.rate_down_bit_per_s),
    ):
        if wanted and rate and abs(rate / wanted - 1) > RATE_TOLERANCE:
            found.append(f"{rate / 1e6:.3g} Mbit/s {way} where {wanted / 1e6:g} were wanted")
    wanted_ms = profile.round_trip_s * 1000
    if measured.round_trip_ms is not None:
        off_ms = abs(measured.round_trip_ms - wanted_ms)
        if off_ms > implementation_error_ms + wanted_ms * ROUND_TRIP_TOLERANCE:
            found.append(
                f"a round trip of {measured.round_trip_ms:.1f} ms where {wanted_ms:g} were wanted"
            )
    return tuple(found)


def _amount(way: Direction) -> int:
    assert way.rate_bit_per_s is not None
    return int(min(max(way.rate_bit_per_s / 8 * _RATE_S, _LEAST_BYTES), _MOST_BYTES))


def _rate(profile: LinkProfile, counted_bytes: int, elapsed_s: float) -> float:
    return profile.wire_bytes(counted_bytes) * 8 / max(elapsed_s, 1e-6)


def _ping(probe: socket.socket) -> float:
    began = time.monotonic()
    probe.sendall(_REQUEST.pack(b"P", 0))
    _receive(probe, 1)
    return time.monotonic() - began


def _take(source: socket.socket, size: int) -> tuple[int, float]:
    """Receives so many bytes: how many came after the first block, and in which time."""
    first = len(_some(source, size))
    began = now = time.monotonic()
    arrived = first
    while arrived < size:
        arrived += len(_some(source, size - arrived))
        now = time.monotonic()
    return arrived - first, now - began


def _receive(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += _some(source, size - len(data))
    return data


def _some(source: socket.socket, most: int) -> bytes:
    data = source.recv(min(most, _BLOCK))
    if not data:
        raise EOFError("the link's other end closed")
    return data
