"""The shaping proxy: rates, delays, queues and cuts, seen from real sockets on both sides."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from benchmarks.links import (
    Direction,
    LinkProfile,
    LinkUnavailableError,
    Outages,
    find_profile,
    open_link,
)
from benchmarks.links.check import problems
from benchmarks.links.link import Implementation, Measured, Way
from tests.benchmarks.links.echo import echo_server

PROXY = Implementation.PROXY
FAST = LinkProfile(
    name="fast",
    title="8 Mbit/s up, 16 down, 20 ms and 10 ms",
    up=Direction(rate_bit_per_s=8e6, delay_ms=20),
    down=Direction(rate_bit_per_s=16e6, delay_ms=10),
    queue_ms=50,
)


def test_the_link_measures_itself_close_to_its_profile() -> None:
    with open_link(FAST, "127.0.0.1", 1, implementation=PROXY) as link:
        report = link.describe()
    assert report.measured is not None
    assert report.measured.problems == ()
    assert report.measured.rate_up_bit_per_s == pytest.approx(8e6, rel=0.05)
    assert report.measured.rate_down_bit_per_s == pytest.approx(16e6, rel=0.05)
    assert report.measured.round_trip_ms == pytest.approx(30, abs=5)
    assert "TCP proxy" in report.text()
    assert "8.0" in report.text() or "7.9" in report.text()


def test_a_link_that_is_not_as_wanted_says_what_is_off() -> None:
    measured = Measured(rate_up_bit_per_s=4e6, rate_down_bit_per_s=16e6, round_trip_ms=80)
    up, trip = problems(measured, FAST, implementation_error_ms=2)
    assert "4 Mbit/s up where 8 were wanted" in up
    assert "80.0 ms where 30 were wanted" in trip


def test_bytes_come_through_whole_and_in_order_on_many_connections() -> None:
    wide = LinkProfile(name="wide", title="wide", up=Direction(delay_ms=1))
    with (
        echo_server() as server,
        open_link(wide, *server, check=False, implementation=PROXY) as link,
    ):
        sent = [bytes([number]) * 200_000 for number in range(5)]
        clients = [socket.create_connection((link.host, link.port)) for _ in sent]
        for client, data in zip(clients, sent, strict=True):
            threading.Thread(target=client.sendall, args=(data,)).start()
        for client, data in zip(clients, sent, strict=True):
            with client:
                got = b""
                while len(got) < len(data):
                    got += client.recv(65536)
                assert got == data


def test_an_end_of_file_goes_through_and_leaves_the_way_back_open() -> None:
    with (
        echo_server() as server,
        open_link(FAST, *server, check=False, implementation=PROXY) as link,
        socket.create_connection((link.host, link.port)) as client,
    ):
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last words"
        assert client.recv(100) == b""


def test_connections_share_the_rate() -> None:
    with (
        echo_server() as server,
        open_link(FAST, *server, check=False, implementation=PROXY) as link,
    ):
        began = time.monotonic()
        clients = [socket.create_connection((link.host, link.port)) for _ in range(2)]
        for client in clients:
            threading.Thread(target=client.sendall, args=(bytes(150_000),)).start()
        for client in clients:
            with client:
                left = 150_000
                while left:
                    left -= len(client.recv(left))
        # 300 KB at 8 Mbit/s are 0.3 s; at 8 Mbit/s each they would be 0.15 s.
        assert time.monotonic() - began > 0.3
        assert link.counters().bytes_up >= 300_000


def test_nothing_passes_during_a_cut_and_what_waited_comes_after() -> None:
    with (
        echo_server() as server,
        open_link(FAST, *server, check=False, implementation=PROXY) as link,
        socket.create_connection((link.host, link.port)) as client,
    ):
        client.sendall(b"before")
        assert client.recv(100) == b"before"
        link.cut(Way.UP)
        client.sendall(b"during")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        link.restore()
        client.settimeout(10)
        assert client.recv(100) == b"during"


def test_one_way_cut_lets_the_other_way_pass() -> None:
    came = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(100)
            came.set()
            client.sendall(b"answer")
            client.recv(100)

    thread = threading.Thread(target=serve)
    thread.start()
    address = listener.getsockname()
    with listener, open_link(FAST, *address, check=False, implementation=PROXY) as link:
        with socket.create_connection((link.host, link.port)) as client:
            link.cut(Way.DOWN)
            client.sendall(b"request")
            assert came.wait(10)
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(100)
            link.restore()
            client.settimeout(10)
            assert client.recv(100) == b"answer"
        thread.join()


def test_outages_come_by_themselves_and_end() -> None:
    profile = FAST.model_copy(
        update={"outages": Outages(first_after_s=0.2, every_s=60, lasts_s=0.5)}
    )
    with (
        echo_server() as server,
        open_link(profile, *server, check=False, implementation=PROXY) as link,
    ):
        began = time.monotonic()
        longest = 0.0
        with socket.create_connection((link.host, link.port)) as client:
            while time.monotonic() - began < 1.0:
                asked = time.monotonic()
                client.sendall(b"?")
                client.recv(1)
                longest = max(longest, time.monotonic() - asked)
        assert 0.4 < longest < 0.8


def test_a_server_behind_the_link_is_reached_through_it() -> None:
    slow_down = LinkProfile(name="slow", title="slow", down=Direction(delay_ms=80))
    with (
        echo_server() as server,
        open_link(slow_down, "127.0.0.1", 1, check=False, implementation=PROXY) as link,
        socket.create_connection(link.expose(server.port)) as client,
    ):
        asked = time.monotonic()
        client.sendall(b"?")
        client.recv(1)
        assert time.monotonic() - asked > 0.08


def test_a_lossy_profile_is_refused_by_name() -> None:
    lossy = find_profile("2mbit_lossy")
    with (
        pytest.raises(LinkUnavailableError, match="2mbit_lossy loses packets"),
        open_link(lossy, "127.0.0.1", 1, implementation=PROXY),
    ):
        pass
