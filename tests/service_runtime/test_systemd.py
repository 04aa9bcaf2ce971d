"""What systemd hears on its socket: readiness, life while there is life, and the end; nothing breaks without it."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_runtime.systemd import Systemd


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    # Not under tmp_path: a socket's path may have at most 107 bytes.
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound,
    ):
        bound.bind(str(Path(folder) / "notify"))
        bound.settimeout(5)
        yield bound


def test_ready_status_and_stopping_arrive_in_order(listener: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": listener.getsockname()})
    systemd.ready()
    systemd.status("outbox full:\n3 wait")
    systemd.status("outbox full:\n3 wait")
    systemd.stopping()
    heard = [listener.recv(200) for _ in range(3)]
    assert heard == [b"READY=1", b"STATUS=outbox full: 3 wait", b"STOPPING=1"]


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0hemowire-test-{os.getpid()}")
        bound.settimeout(5)
        Systemd({"NOTIFY_SOCKET": f"@hemowire-test-{os.getpid()}"}).ready()
        assert bound.recv(100) == b"READY=1"


def test_the_watchdog_is_fed_while_there_is_life_and_starves_without(
    listener: socket.socket,
) -> None:
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "60000"}
    systemd = Systemd(environ)
    asked: list[bool] = []
    enough = asyncio.Event()

    def is_alive() -> bool:
        asked.append(len(asked) < 3)
        if len(asked) == 6:
            enough.set()
        return asked[-1]

    async def main() -> None:
        task = asyncio.create_task(systemd.watch(is_alive))
        async with asyncio.timeout(5):
            await enough.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(100)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "no number"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/nobody/listens"},
    ],
)
def test_without_systemd_nothing_is_told_and_nothing_breaks(environ: dict[str, str]) -> None:
    systemd = Systemd(environ)
    systemd.ready()
    systemd.status("here")
    systemd.stopping()
    assert systemd.watchdog_s is None
    asyncio.run(asyncio.wait_for(systemd.watch(lambda: True), 1))
