"""One connection's incoming bytes, cut into packets in place; it understands no packet and never shrinks a pending one.

The socket reads straight into this buffer (asyncio's BufferedProtocol), many packets at a time; a
packet's body is a view that holds until the next read.
"""

from __future__ import annotations

from collections.abc import Iterator

from service_runtime.mqtt_packets import MalformedPacketError, read_length

#: Room for several chunks, so that they share one read and their acknowledgements one write.
BUFFER_BYTES = 256 * 1024
#: The least that is offered to a read: below it what is pending is moved to the front.
_LEAST_READ_BYTES = 64 * 1024


class Frames:
    """A buffer with a beginning (`_start`) of what is not cut yet and an end (`_end`)."""

    def __init__(self, largest_bytes: int) -> None:
        self._largest_bytes = largest_bytes
        self._data = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._data)
        self._start = self._end = 0
        #: Bytes of the packet that is pending, its header included; 0 while not known.
        self._pending = 0

    def room(self) -> memoryview:
        """Where the next bytes go."""
        wanted = max(_LEAST_READ_BYTES, self._pending - (self._end - self._start))
        if self._start == self._end:
            self._start = self._end = 0
        if len(self._data) - self._end < wanted:
            self._move(wanted)
        return self._view[self._end :]

    def filled(self, size: int) -> None:
        """So many bytes were put into `room`."""
        self._end += size

    def packets(self) -> Iterator[tuple[int, memoryview]]:
        """First byte and body of each packet that is whole; raises MalformedPacketError."""
        while self._end - self._start >= 2:
            found = read_length(self._data, self._start + 1, self._end)
            if found is None:
                return
            size, body = found
            self._pending = body - self._start + size
            if self._pending > self._largest_bytes:
                raise MalformedPacketError(
                    f"a packet of {self._pending} bytes, limit {self._largest_bytes}"
                )
            if body + size > self._end:
                return
            first = self._data[self._start]
            self._start = body + size
            self._pending = 0
            yield first, self._view[body : body + size]

    def _move(self, wanted: int) -> None:
        """What is pending goes to the front, of a larger buffer where it needs one."""
        pending = self._end - self._start
        size = BUFFER_BYTES if pending + wanted <= BUFFER_BYTES else pending + wanted
        if size == len(self._data):
            self._view[:pending] = bytes(self._view[self._start : self._end])
        else:
            data = bytearray(size)
            data[:pending] = self._view[self._start : self._end]
            self._data, self._view = data, memoryview(data)
        self._start, self._end = 0, pending
