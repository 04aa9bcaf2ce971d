"""The process between a link's two TUN devices: it delays, loses and cuts packets, and relays TCP to the target.

The kernel's tbf in front of each device keeps the rate, so packets come here at the link's speed,
and leave one delay later in their order. Losses are drawn here, behind the rate as on a real line,
from a seeded generator: a run can be repeated, and no packet filter needs to be installed.
Servers that listen on loopback only are reached by a relay on the near device's address, which
splices in the kernel and holds at most a pipe's worth.

Started as a script by `namespace`, with the standard library alone; ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import socket
import sys
import threading
import time
from collections import deque

_MOST_BYTES = 65_536
#: Packets taken from a device before the other one and the clock are looked at.
_TURN = 64
_PIPE_BYTES = 65_536
#: Small segments and a small buffer towards the target, so that what waits for a slow link waits
#: in front of it and not in loopback's megabytes.
_SEGMENT_BYTES = 1448
_RECEIVE_BUFFER_BYTES = 64 * 1024
_SO_BINDTODEVICE = 25


class _Way:
    """One direction: from a device into the other."""

    def __init__(self, source: int, sink: int, delay_s: float, loss: float, seed: str) -> None:
        self.source, self._sink = source, sink
        self._delay_s, self._loss = delay_s, loss
        self._random = random.Random(seed).random
        self._under_way: deque[tuple[float, bytes]] = deque()
        self.is_cut = False
        self.bytes = self.lost = self.overflowed = 0

    def take(self, now: float) -> None:
        """Reads what the device has."""
        for _ in range(_TURN):
            try:
                packet = os.read(self.source, _MOST_BYTES)
            except BlockingIOError:
                return
            self.bytes += len(packet)
            if self.is_cut or (self._loss and self._random() < self._loss):
                self.lost += 1
            else:
                self._under_way.append((now + self._delay_s, packet))

    def deliver(self, now: float) -> None:
        """Writes what is due; what was under way when the link was cut is lost."""
        while self._under_way and self._under_way[0][0] <= now:
            _, packet = self._under_way.popleft()
            if self.is_cut:
                self.lost += 1
                continue
            try:
                os.write(self._sink, packet)
            except OSError:  # the device has no room, or its end is being taken down
                self.overflowed += 1

    def due(self) -> float:
        """When the next packet is to be written."""
        return self._under_way[0][0] if self._under_way else float("inf")


class _Relays:
    """TCP from the near device's address to servers elsewhere."""

    def __init__(self, address: str, device: str) -> None:
        self._address, self._device = address, device

    def open(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Only what comes through the link: no other machine may use this relay.
        listener.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, self._device.encode() + b"\0")
        listener.bind((self._address, 0))
        listener.listen(256)
        threading.Thread(target=_accept, args=(listener, host, port), daemon=True).start()
        bound: int = listener.getsockname()[1]
        return bound


def _accept(listener: socket.socket, host: str, port: int) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_relay, args=(client, host, port), daemon=True).start()


def _relay(client: socket.socket, host: str, port: int) -> None:
    server = socket.socket()
    with client, server, contextlib.suppress(OSError):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if host.startswith("127."):
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server.connect((host, port))
        except OSError:
            # A refusal, as the client would have had without the relay; no graceful end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        back = threading.Thread(target=_splice, args=(server, client), daemon=True)
        back.start()
        _splice(client, server)
        back.join()


def _splice(source: socket.socket, sink: socket.socket) -> None:
    """All bytes of one direction, then its end; a broken end breaks the other."""
    taken, given = os.pipe()
    try:
        while size := os.splice(source.fileno(), given, _PIPE_BYTES):
            while size:
                size -= os.splice(taken, sink.fileno(), size)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(taken)
        os.close(given)


class _Control:
    """Commands, a line of JSON each; every one is answered by a line."""

    def __init__(self, ways: dict[str, _Way], relays: _Relays) -> None:
        self._ways, self._relays = ways, relays
        self._pending = b""
        self._outages: tuple[float, float] | None = None
        self._next_change = float("inf")
        self._is_out = False
        self.is_over = False

    def read(self) -> None:
        """Takes in what has come; an end of the input ends the process."""
        data = os.read(0, _MOST_BYTES)
        self.is_over = not data
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            print(json.dumps(self._do(json.loads(line))), flush=True)

    def due(self) -> float:
        """When the next outage begins or ends."""
        return self._next_change

    def tick(self, now: float) -> None:
        """Begins or ends an outage."""
        if now < self._next_change or self._outages is None:
            return
        every_s, lasts_s = self._outages
        self._is_out = not self._is_out
        self._next_change += lasts_s if self._is_out else every_s - lasts_s
        for way in self._ways.values():
            way.is_cut = self._is_out

    def _do(self, command: dict[str, object]) -> dict[str, object]:
        match command:
            case {"do": "forward", "host": str(host), "port": int(port)}:
                return {"port": self._relays.open(host, port)}
            case {"do": "cut", "ways": list(names), "is_cut": bool(is_cut)}:
                for name in names:
                    self._ways[name].is_cut = is_cut
            case {"do": "outages", "first_after_s": first, "every_s": every, "lasts_s": lasts}:
                self._outages = (float(str(every)), float(str(lasts)))
                self._next_change = time.monotonic() + float(str(first))
            case {"do": "count"}:
                return {
                    name: [way.bytes, way.lost, way.overflowed] for name, way in self._ways.items()
                }
        return {}


def main() -> None:
    """Forwards until the input ends."""
    told = json.loads(sys.argv[1])
    near, far = told["near_fd"], told["far_fd"]
    up = _Way(far, near, told["up"]["delay_s"], told["up"]["loss"], "up")
    down = _Way(near, far, told["down"]["delay_s"], told["down"]["loss"], "down")
    ways = (up, down)
    control = _Control({"up": up, "down": down}, _Relays(told["address"], told["device"]))
    while not control.is_over:
        pause = min(up.due(), down.due(), control.due()) - time.monotonic()
        # select and not epoll, which waits in whole milliseconds.
        readable, _, _ = select.select(
            [0, near, far], [], [], None if pause == float("inf") else max(0.0, pause)
        )
        now = time.monotonic()
        for way in ways:
            if way.source in readable:
                way.take(now)
            way.deliver(now)
        control.tick(now)
        if 0 in readable:
            control.read()


if __name__ == "__main__":
    main()
