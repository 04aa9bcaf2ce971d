"""How the server begins and ends inside somebody else's event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from edge_device.bench.server import BenchServer
from edge_device.bench.settings import BenchSettings
from edge_device.bench.socket_file import LONGEST_PATH_BYTES, SOCKET_NAME, BenchError, SocketFile
from tests.edge_device.bench.asking import Events, Place, ask, request
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from tests.edge_device.in_loop import in_loop

#: The promise; uvicorn alone, which waits for streams and then cancels them, takes longer.
STOP_S = 1.0


@in_loop
async def test_open_event_streams_do_not_hold_the_end_up(tmp_path: Path) -> None:
    server = BenchServer(BenchForTests(), BenchSettings(port=0), tmp_path)
    task = asyncio.create_task(server.run())
    places = [Place(tmp_path / SOCKET_NAME), Place(port=int(server.url[:-1].rpartition(":")[2]))]
    async with Events(places[0]) as first, Events(places[1]) as second:
        assert await first.next() is not None
        assert await second.next() is not None
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=STOP_S)
        assert done
        assert (await first.next(), await second.next()) == (None, None)
    assert not (tmp_path / SOCKET_NAME).exists()


@in_loop
async def test_a_reader_that_takes_nothing_does_not_hold_the_end_up(tmp_path: Path) -> None:
    bench = BenchForTests(preview=b"\xff\xd8" + bytes(8 * 1024 * 1024))
    server = BenchServer(bench, BenchSettings(), tmp_path)
    task = asyncio.create_task(server.run())
    place = Place(tmp_path / SOCKET_NAME)
    reader, writer = await place.open()
    writer.write(request(place, "/preview.jpg"))
    assert await reader.read(10)
    task.cancel()
    # uvicorn gives an answer that is under way a second, in whole ones
    done, _ = await asyncio.wait({task}, timeout=STOP_S + 1)
    assert done
    received = 0
    with suppress(ConnectionResetError):
        while more := await reader.read(1 << 20):  # what was under way already, then the end
            received += len(more)
    assert received < 8 * 1024 * 1024
    writer.close()


@in_loop
async def test_signals_and_the_root_log_stay_the_agents(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    handlers = list(logging.getLogger().handlers)
    async with served(BenchForTests(), tmp_path):
        await ask(Place(tmp_path / SOCKET_NAME), "/state")
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        assert logging.getLogger().handlers == handlers


@in_loop
async def test_the_socket_is_its_owners_only(tmp_path: Path) -> None:
    async with served(BenchForTests(), tmp_path):
        mode = (tmp_path / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@in_loop
async def test_the_socket_of_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal, pathlib; from edge_device.bench.socket_file import SocketFile;"
        " SocketFile(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    died = await asyncio.to_thread(subprocess.run, command, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (tmp_path / SOCKET_NAME).exists()
    async with served(BenchForTests(), tmp_path):
        answer = await ask(Place(tmp_path / SOCKET_NAME), "/state")
    assert answer.status == 200


@in_loop
async def test_the_socket_of_a_living_agent_is_left_alone(tmp_path: Path) -> None:
    async with served(BenchForTests(), tmp_path):
        with pytest.raises(BenchError, match="another agent answers"):
            SocketFile(tmp_path)
        answer = await ask(Place(tmp_path / SOCKET_NAME), "/state")
    assert answer.status == 200


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("mine")
    with pytest.raises(BenchError, match="is no socket"):
        SocketFile(tmp_path)
    assert (tmp_path / SOCKET_NAME).read_text() == "mine"


def test_a_folder_where_others_may_write_is_refused_with_the_remedy(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(BenchError, match="chmod go-w"):
        SocketFile(shared)
    assert list(shared.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, -1)
    with pytest.raises(BenchError, match="belongs to user 12345"):
        SocketFile(theirs)


@in_loop
async def test_a_path_too_long_for_a_socket_works_where_there_is_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    from edge_device.bench.local_client import read_state

    async with served(BenchForTests(), deep):
        state = await asyncio.to_thread(read_state, deep)
    assert state.device == "scope-1"
    assert not (deep / SOCKET_NAME).exists()
    monkeypatch.setattr("edge_device.bench.socket_file._OWN_FOLDERS", Path("/no/proc"))
    with pytest.raises(BenchError, match=f"at most {LONGEST_PATH_BYTES}"):
        SocketFile(deep)


def test_closing_leaves_the_socket_of_a_successor(tmp_path: Path) -> None:
    first = SocketFile(tmp_path)
    (tmp_path / SOCKET_NAME).rename(tmp_path / "away")
    second = SocketFile(tmp_path)
    first.close()
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(tmp_path / SOCKET_NAME))
    second.close()
    assert not (tmp_path / SOCKET_NAME).exists()
