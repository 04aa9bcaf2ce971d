"""Who is let in over TCP, with requests that a browser of ours would not make."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_device.bench import guard
from edge_device.bench.app import WRONG_TOKEN_S
from edge_device.bench.server import BenchServer
from edge_device.bench.settings import BenchSettings
from edge_device.bench.socket_file import SOCKET_NAME, BenchError
from tests.edge_device.bench.asking import Place, act, ask
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from tests.edge_device.in_loop import in_loop

WISH = {"operator": "kim", "arguments": {}}
TOKEN = "correct horse battery"
LOOPBACK = BenchSettings(port=0)


def port_of(server: BenchServer) -> int:
    return int(server.url.rstrip("/").rpartition(":")[2])


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@in_loop
async def test_without_a_port_there_is_no_tcp(tmp_path: Path) -> None:
    async with served(BenchForTests(), tmp_path) as server:
        assert server.url == ""


@in_loop
async def test_both_listeners_serve_the_same_bench(tmp_path: Path) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path, LOOPBACK) as server:
        over_tcp = await act(Place(port=port_of(server)), "capture", WISH)
        over_socket = await act(Place(tmp_path / SOCKET_NAME), "pause", WISH)
    assert (over_tcp.status, over_socket.status) == (200, 200)
    assert [name for name, _, _ in bench.done] == ["capture", "pause"]


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.2", False),
        ("user@127.0.0.1.evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
@in_loop
async def test_a_name_that_is_not_this_device_is_refused(
    tmp_path: Path, host: str, is_let_in: bool
) -> None:
    async with served(BenchForTests(), tmp_path, LOOPBACK) as server:
        place = Place(port=port_of(server))
        answer = await ask(place, "/state", headers={"Host": host or "\t"})
    assert answer.status == 200 if is_let_in else answer.status in (400, 421)
    assert is_let_in or b"scope-1" not in answer.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
    ids=str,
)
@in_loop
async def test_only_the_page_itself_may_change_anything(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path, LOOPBACK) as server:
        answer = await act(Place(port=port_of(server)), "capture", WISH, **headers)
    assert answer.status == status
    assert len(bench.done) == (status == 200)


@in_loop
async def test_the_socket_asks_for_neither_host_nor_origin_nor_token(
    tmp_path: Path, token_file: Path
) -> None:
    settings = BenchSettings(port=0, token_file=token_file)
    async with served(BenchForTests(), tmp_path, settings):
        answer = await act(
            Place(tmp_path / SOCKET_NAME), "capture", WISH, Host="anything", Origin=""
        )
    assert answer.status == 200


@in_loop
async def test_with_a_token_nothing_is_shown_before_the_login(
    tmp_path: Path, token_file: Path
) -> None:
    bench = BenchForTests()
    async with served(bench, tmp_path, BenchSettings(port=0, token_file=token_file)) as server:
        place = Place(port=port_of(server))
        page = await ask(place, "/")
        closed = [
            await ask(place, path)
            for path in ("/state", "/events", "/preview.jpg", "/captures/x", "/bench.js", "/login/")
        ]
        acted = await act(place, "capture", WISH)
        forged = await ask(place, "/state", headers={"Cookie": f"{guard.COOKIE}=0000"})
        login_page = await ask(place, "/login")
    assert (page.status, page.headers["location"]) == (303, "/login")
    assert [answer.status for answer in (*closed, acted, forged)] == [401] * 8
    assert bench.done == []
    assert login_page.status == 200


@in_loop
async def test_the_token_lets_a_browser_in_also_after_a_restart(
    tmp_path: Path, token_file: Path
) -> None:
    settings = BenchSettings(port=0, token_file=token_file)
    async with served(BenchForTests(), tmp_path, settings) as server:
        place = Place(port=port_of(server))
        body = f'{{"token": "{TOKEN}"}}'.encode()
        login = await ask(place, "/login", method="POST", body=body)
        cookie = login.headers["set-cookie"]
    async with served(BenchForTests(), tmp_path, settings) as server:
        place = Place(port=port_of(server))
        answer = await ask(place, "/state", headers={"Cookie": cookie.partition(";")[0]})
    assert answer.status == 200
    assert TOKEN not in cookie
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}


@in_loop
async def test_wrong_tokens_wait_for_each_other(tmp_path: Path, token_file: Path) -> None:
    async with served(
        BenchForTests(), tmp_path, BenchSettings(port=0, token_file=token_file)
    ) as server:
        place = Place(port=port_of(server))
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await asyncio.gather(
            *(
                ask(place, "/login", method="POST", body=b'{"token": "correct horse batterx"}')
                for _ in range(2)
            )
        )
        took = loop.time() - began
    assert [answer.status for answer in answers] == [403, 403]
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert took >= 2 * WRONG_TOKEN_S - 0.05


def test_a_network_without_a_token_is_refused_by_the_settings() -> None:
    for host in ("0.0.0.0", "192.168.1.7", "::"):
        with pytest.raises(ValidationError, match="token_file"):
            BenchSettings(port=8080, host=host)
    with pytest.raises(ValidationError, match="IP address"):
        BenchSettings(port=8080, host="scope-1.lab")
    assert BenchSettings(port=8080, host="localhost").host == "127.0.0.1"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [(TOKEN, 0o644, "chmod 600"), ("short", 0o600, "16 characters"), (None, 0o600, "No such file")],
)
def test_a_token_file_that_guards_nothing_is_refused(
    tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(BenchError, match=words):
        BenchServer(BenchForTests(), BenchSettings(port=0, token_file=path), tmp_path)
    assert not (tmp_path / SOCKET_NAME).exists()


@in_loop
async def test_a_port_that_is_taken_is_named_and_leaves_no_socket_behind(tmp_path: Path) -> None:
    async with served(BenchForTests(), tmp_path, LOOPBACK) as server:
        other = tmp_path / "other"
        other.mkdir()
        port = port_of(server)
        with pytest.raises(BenchError, match=f"port {port}: Address already in use"):
            BenchServer(BenchForTests(), BenchSettings(port=port), other)
        assert not (other / SOCKET_NAME).exists()
