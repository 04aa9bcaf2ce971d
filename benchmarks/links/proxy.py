"""A link as a shaping TCP proxy in a thread of this process: works everywhere, and loses no packet.

Every byte of a direction passes one serialiser, whatever its connection: it leaves when the link
has sent all before it, arrives a delay later, and while more than the queue's worth waits the
proxy does not read, so that TCP holds the sender back. Packets are counted as a stream of full
segments has them. During a cut bytes wait; TCP's own long pauses after one are not modelled. (Over 250 lines: what any
thread may call and what runs in the link's own are two halves of one object.)
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.links.check import ProbeServer, measure_streams
from benchmarks.links.link import Address, Implementation, LinkCounters, LinkReport, Measured, Way
from benchmarks.links.profile import HEADER_BYTES, Direction, LinkProfile

HOST = "127.0.0.1"
#: A block is what the link sends in this time: connections take turns that often.
_BLOCK_S = 0.005
_LARGEST_BLOCK_BYTES = 256 * 1024
#: Small, so that what waits in front of the link waits in the sender's own socket.
_RECEIVE_BUFFER_BYTES = 64 * 1024
#: Of a round trip: asyncio's timers count whole milliseconds.
_ERROR_MS = 2.5
_HOW = (
    "TCP proxy in the bench's process (rate, delay and cuts of byte streams; "
    "no packet is lost or reordered)"
)


class _Serialiser:
    """One direction of the link, shared by all its connections."""

    def __init__(self, way: Direction, profile: LinkProfile) -> None:
        self._free_at = 0.0
        self.wire_bytes = 0
        self.is_up = asyncio.Event()
        self.is_up.set()
        self.shape(way, profile)

    def shape(self, way: Direction, profile: LinkProfile) -> None:
        """From the next block on; what is under way keeps the time that it was given."""
        self._byte_s = 0.0 if way.rate_bit_per_s is None else 8 / way.rate_bit_per_s
        self._delay_s = way.delay_ms / 1000
        self._segment = profile.mtu_bytes - HEADER_BYTES
        self._queue_s = profile.queue_ms / 1000
        block = _LARGEST_BLOCK_BYTES if not self._byte_s else int(_BLOCK_S / self._byte_s)
        self.block_bytes = min(max(block, self._segment), _LARGEST_BLOCK_BYTES)

    def send(self, size: int, now: float) -> float:
        """When the last of these bytes arrives at the far end."""
        wire = size + HEADER_BYTES * -(-size // self._segment)
        self.wire_bytes += wire
        self._free_at = max(self._free_at, now) + wire * self._byte_s
        return self._free_at + self._delay_s

    def has_room_at(self) -> float:
        """When less than the queue's worth will wait."""
        return self._free_at - self._queue_s


class ProxyLink:
    """The link; made by `open_proxy`. Its methods may be called from any thread but its own."""

    def __init__(self, profile: LinkProfile) -> None:
        self._profile = profile
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link")
        self._up = _Serialiser(profile.up, profile)
        self._down = _Serialiser(profile.down, profile)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
        self._measured: Measured | None = None
        self._before = (0, 0)
        self._address = Address("", 0)

    # --- what every link offers ---------------------------------------------------------------

    @property
    def profile(self) -> LinkProfile:
        """What was asked for."""
        return self._profile

    @property
    def host(self) -> str:
        """Where a client finds the target."""
        return self._address.host

    @property
    def port(self) -> int:
        """Its port there."""
        return self._address.port

    @property
    def inside_host(self) -> str:
        """Loopback: both ends are on this machine."""
        return HOST

    def forward(self, target_host: str, target_port: int) -> Address:
        """Where a client finds another server, through the same link."""
        return self._listen(Address(target_host, target_port), self._up, self._down)

    def expose(self, port: int) -> Address:
        """Where others find a server that runs behind the link: what they send goes down."""
        return self._listen(Address(HOST, port), self._down, self._up)

    def command_prefix(self) -> list[str]:
        """Nothing: any program on this machine may connect."""
        return []

    def describe(self) -> LinkReport:
        """Which link this is and what it measured of itself."""
        return LinkReport(
            profile=self._profile,
            implementation=Implementation.PROXY,
            how=_HOW,
            measured=self._measured,
        )

    def counters(self) -> LinkCounters:
        """Stream bytes with the headers that they would have."""
        up, down = self._up.wire_bytes - self._before[0], self._down.wire_bytes - self._before[1]
        return LinkCounters(up, down, packets_lost=0, packets_overflowed=0)

    def cut(self, way: Way = Way.BOTH) -> None:
        """From now on nothing is read or delivered that way."""
        self._call(self._set_up(way, is_up=False))

    def restore(self) -> None:
        """Everything passes again, first what waited."""
        self._call(self._set_up(Way.BOTH, is_up=True))

    def reshape(self, profile: LinkProfile) -> None:
        """From now on rates and delays are those of another profile; its outages are not followed."""
        self._profile = profile
        self._call(self._reshape(profile))

    # --- life, for open_proxy -----------------------------------------------------------------

    def open(self, target: Address, *, check: bool) -> None:
        """Starts to accept, and measures itself."""
        self._thread.start()
        self._address = self.forward(*target)
        if check:
            with ProbeServer() as server:
                address = self.forward(*server.address)
                # A machine that is busy at that moment blurs the figures: three chances.
                for _ in range(3):
                    self._measured = measure_streams(
                        address, self._profile, implementation_error_ms=_ERROR_MS
                    )
                    if not self._measured.problems:
                        break
        self._before = (self._up.wire_bytes, self._down.wire_bytes)
        if self._profile.outages is not None:
            self._call(self._start(self._follow_outages()))

    def close(self) -> None:
        """Ends every connection."""
        if self._thread.is_alive():
            self._call(self._end_tasks())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        for listener in self._listeners:
            listener.close()
        self._loop.close()

    def _listen(self, target: Address, there: _Serialiser, back: _Serialiser) -> Address:
        listener = socket.create_server((HOST, 0), backlog=256)
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._listeners.append(listener)
        self._call(self._start(self._accept(listener, target, there, back)))
        port: int = listener.getsockname()[1]
        return Address(HOST, port)

    # --- in the link's own thread -------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=10)

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set_up(self, way: Way, *, is_up: bool) -> None:
        for serialiser, own in ((self._up, Way.UP), (self._down, Way.DOWN)):
            if way in (own, Way.BOTH):
                if is_up:
                    serialiser.is_up.set()
                else:
                    serialiser.is_up.clear()

    async def _reshape(self, profile: LinkProfile) -> None:
        self._up.shape(profile.up, profile)
        self._down.shape(profile.down, profile)

    async def _follow_outages(self) -> None:
        outages = self._profile.outages
        assert outages is not None
        begins = self._loop.time() + outages.first_after_s
        while True:
            await self._until(begins)
            await self._set_up(Way.BOTH, is_up=False)
            await self._until(begins + outages.lasts_s)
            await self._set_up(Way.BOTH, is_up=True)
            begins += outages.every_s

    async def _accept(
        self, listener: socket.socket, target: Address, there: _Serialiser, back: _Serialiser
    ) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            await self._start(self._serve(client, target, there, back))

    async def _serve(
        self, client: socket.socket, target: Address, there: _Serialiser, back: _Serialiser
    ) -> None:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with client, server:
            for each in (client, server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # An end that is gone ends this connection only.
            with suppress(OSError):
                # The handshake's own trip there and back.
                await self._until(self._loop.time() + self._profile.round_trip_s)
                await there.is_up.wait()
                await self._loop.sock_connect(server, target)
                await _both(self._carry(there, client, server), self._carry(back, server, client))

    async def _carry(self, way: _Serialiser, source: socket.socket, sink: socket.socket) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(way, under_way, sink))
        try:
            while True:
                data = await self._loop.sock_recv(source, way.block_bytes)
                await way.is_up.wait()
                under_way.put_nowait((way.send(len(data), self._loop.time()), data))
                if not data:
                    break
                await self._until(way.has_room_at())
                if delivery.done():
                    break
            await delivery
        finally:
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)

    async def _deliver(
        self, way: _Serialiser, under_way: asyncio.Queue[tuple[float, bytes]], sink: socket.socket
    ) -> None:
        while True:
            arrives_at, data = await under_way.get()
            await self._until(arrives_at)
            await way.is_up.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await self._loop.sock_sendall(sink, data)

    async def _until(self, moment: float) -> None:
        pause = moment - self._loop.time()
        if pause > 0:
            await asyncio.sleep(pause)


async def _both(*ways: Coroutine[Any, Any, None]) -> None:
    """The first error ends both; an end of file ends its own direction only."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def open_proxy(
    profile: LinkProfile, target_host: str, target_port: int, *, check: bool
) -> Iterator[ProxyLink]:
    """The proxy, from its first accept to its last."""
    link = ProxyLink(profile)
    try:
        link.open(Address(target_host, target_port), check=check)
        yield link
    finally:
        link.close()
