"""A socket for paho that reads many packets at once and writes what one turn brought; it knows no packet.

paho reads a header byte by byte and writes each packet by itself. On loopback those calls, and the
other side woken by each, cost more than the bytes (docs/latency.md): here `recv` is answered from
one large read, and `send` collects until `flush`. Plain or TLS; never blocking.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from contextlib import suppress

#: Several chunks share one read, and their acknowledgements one write.
_READ_BYTES = 256 * 1024
#: Small packets leave together up to about this size; a chunk leaves by itself.
_JOINED_BYTES = 64 * 1024
#: Above so much that was not written yet, paho keeps its packets.
_WAITING_BYTES = 256 * 1024


class JoinedSocket:
    """What paho asks of a socket, and `arm`, `has_more`, `flush` and `is_waiting` for its owner."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._data = bytearray(_READ_BYTES)
        self._view = memoryview(self._data)
        self._start = self._end = 0
        self._is_armed = False
        self._out: deque[bytes | bytearray | memoryview] = deque()
        self._out_bytes = 0
        self._is_full = False
        self._is_closed = False

    # --- in -----------------------------------------------------------------------------------

    def arm(self) -> None:
        """The socket is readable: one read of it is allowed."""
        self._is_armed = True

    @property
    def has_more(self) -> bool:
        """Whether something can be had without waiting for the socket."""
        return self._start < self._end or self._tls_pending()

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; BlockingIOError where none are here, b"" at the end."""
        if self._is_closed:
            raise ConnectionError("closed")
        if self._start == self._end:
            if not (self._is_armed or self._tls_pending()):
                raise BlockingIOError
            self._is_armed = False
            if size >= _READ_BYTES:
                return self.raw.recv(size)
            self._start, self._end = 0, self.raw.recv_into(self._view)
        start = self._start
        self._start = min(start + size, self._end)
        return bytes(self._view[start : self._start])

    def _tls_pending(self) -> bool:
        """TLS may hold bytes that no selector tells of."""
        return isinstance(self.raw, ssl.SSLSocket) and self.raw.pending() > 0

    # --- out ----------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray) -> int:
        """Takes all of it for `flush`, or raises BlockingIOError where the socket is full."""
        if self._is_closed:
            raise ConnectionError("closed")
        if self._is_full or self._out_bytes > _WAITING_BYTES:
            raise BlockingIOError
        self._out.append(data)
        self._out_bytes += len(data)
        return len(data)

    @property
    def is_waiting(self) -> bool:
        """Whether the socket is to be asked for room."""
        return self._out_bytes > 0

    def flush(self) -> None:
        """Writes until all is written or the socket takes no more; raises OSError at its end."""
        while self._out:
            data = self._next()
            try:
                written = self.raw.send(data)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                written = 0
            self._out_bytes -= written
            self._is_full = written < len(data)
            if self._is_full:
                # TLS wants to be given the same bytes again.
                self._out.appendleft(memoryview(data)[written:] if written else data)
                return

    def _next(self) -> bytes | bytearray | memoryview:
        first = self._out.popleft()
        if not self._out or len(first) >= _JOINED_BYTES:
            return first
        joined = bytearray(first)
        while self._out and len(joined) < _JOINED_BYTES:
            joined += self._out.popleft()
        return joined

    # --- the rest of a socket -----------------------------------------------------------------

    def fileno(self) -> int:
        """The raw socket's."""
        return self.raw.fileno()

    def setblocking(self, flag: bool) -> None:
        """The raw socket's."""
        self.raw.setblocking(flag)

    def pending(self) -> int:
        """Bytes that are here already."""
        return self._end - self._start

    def close(self) -> None:
        """Writes what the socket takes at once (paho closes right behind its DISCONNECT)."""
        if not self._is_closed:
            with suppress(OSError):
                self.flush()
        self._is_closed = True
        self._start = self._end = 0
        self._out.clear()
        self._out_bytes = 0
        self.raw.close()
