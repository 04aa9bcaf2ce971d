"""Bytes per process: summed over its sockets, in either form that `ss` prints, and true of a real socket."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from benchmarks.load.network_bytes import SocketBytes, read_sockets, socket_bytes

_TWO_LINES = """\
ESTAB 0 0 127.0.0.1:43727 127.0.0.1:52897 users:(("edge",pid=15,fd=15))
\t bbr wscale:10,10 bytes_sent:800 bytes_acked:801 bytes_received:17100 segs_out:11
ESTAB 0 0 127.0.0.1:43728 127.0.0.1:52897 users:(("edge",pid=15,fd=16))
\t bbr wscale:10,10 bytes_received:5 segs_out:11
ESTAB 0 0 127.0.0.1:43729 127.0.0.1:52897
\t bbr bytes_sent:1
"""


@pytest.mark.parametrize("text", [_TWO_LINES, _TWO_LINES.replace("\n\t", " ")])
def test_the_sockets_of_a_process_are_summed(text: str) -> None:
    assert read_sockets(text) == {15: SocketBytes(800, 17_105)}


@pytest.mark.skipif(shutil.which("ss") is None, reason="no ss (iproute2) on this machine")
def test_what_this_process_sends_itself_is_counted_both_ways() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
    ):
        far, _ = server.accept()
        with far:
            before = socket_bytes([os.getpid()])[os.getpid()]
            near.sendall(b"x" * 50_000)
            got = 0
            while got < 50_000:
                got += len(far.recv(65_536))
            after = socket_bytes([os.getpid()])[os.getpid()]
    assert (after.sent - before.sent, after.received - before.received) == (50_000, 50_000)
