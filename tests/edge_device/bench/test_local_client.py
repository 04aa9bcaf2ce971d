"""How a job of the command line talks to a running agent, and what it says where none runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from edge_device.bench.local_client import (
    AgentError,
    LocalAnswer,
    NoAgentError,
    call,
    follow_state,
    read_state,
)
from edge_device.bench.socket_file import SOCKET_NAME, SocketFile
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from tests.edge_device.in_loop import in_loop


@in_loop
async def test_a_job_has_the_agent_do_an_action(tmp_path: Path) -> None:
    bench = BenchForTests(answer=LocalAnswer(True, {"case_id": "S26-1"}))
    async with served(bench, tmp_path):
        answer = await asyncio.to_thread(call, tmp_path, "pause", {"for_s": 3}, "kim")
    assert answer == bench.answer
    assert bench.done == [("pause", {"for_s": 3}, "kim")]


@in_loop
async def test_a_refusal_reaches_the_job_in_words(tmp_path: Path) -> None:
    bench = BenchForTests(answer=LocalAnswer(False, error="paused by an operator"))
    async with served(bench, tmp_path):
        refused = await asyncio.to_thread(call, tmp_path, "capture", {}, "kim")
        unknown = await asyncio.to_thread(call, tmp_path, "fly", {}, "kim")
    assert refused == bench.answer
    assert not unknown.ok
    assert "known: capture" in unknown.error


def test_without_an_agent_nothing_is_done_and_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoAgentError, match=str(tmp_path)):
        call(tmp_path, "capture", {}, "kim")
    with pytest.raises(NoAgentError, match="no agent runs"):
        read_state(tmp_path / "absent")
    with pytest.raises(NoAgentError):
        next(iter(follow_state(tmp_path)))


def test_a_socket_that_nobody_listens_at_is_no_agent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(NoAgentError):
        read_state(tmp_path)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[list[bytes]]:
    """Something that is not the agent: answers each connection with the list's next bytes."""
    answers: list[bytes] = []
    file = SocketFile(tmp_path)

    def answer() -> None:
        try:
            while True:
                connection, _ = file.socket.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answers.pop(0))
        except OSError:
            return

    thread = Thread(target=answer)
    thread.start()
    yield answers
    file.socket.shutdown(socket.SHUT_RDWR)
    file.close()
    thread.join()


def test_an_agent_that_dies_in_an_action_leaves_it_unknown(
    tmp_path: Path, answering: list[bytes]
) -> None:
    answering.append(b"")
    with pytest.raises(AgentError, match="not known") as caught:
        call(tmp_path, "capture", {}, "kim")
    assert not isinstance(caught.value, NoAgentError)


def test_another_version_of_the_state_says_so(tmp_path: Path, answering: list[bytes]) -> None:
    body = b'{"device": "scope-1", "hologram": 1}'
    answering.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(AgentError, match="another version"):
        read_state(tmp_path)


@in_loop
async def test_states_are_followed_until_the_agent_stops(tmp_path: Path) -> None:
    bench = BenchForTests()
    states = follow_state(tmp_path)
    async with served(bench, tmp_path):
        first = await asyncio.to_thread(next, states)
        bench.show(paused=True)
        second = await asyncio.to_thread(next, states)
    assert (first.paused, second.paused) == (False, True)
    with pytest.raises(NoAgentError, match="stopped"):
        await asyncio.to_thread(next, states)
