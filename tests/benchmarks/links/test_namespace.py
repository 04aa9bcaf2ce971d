"""Links made of namespaces: measured with packets, real programs inside, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.links import Direction, LinkProfile, Outages, find_profile, kernel, open_link
from benchmarks.links.link import Address, Implementation, Link, Way
from tests.benchmarks.links.echo import echo_server

MISSING = kernel.why_not()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no namespaces here: {MISSING}")

LOSSY = LinkProfile(
    name="lossy",
    title="8 Mbit/s up, 16 down, 20 ms and 10 ms, 5 % lost up",
    up=Direction(rate_bit_per_s=8e6, delay_ms=20, loss_percent=5),
    down=Direction(rate_bit_per_s=16e6, delay_ms=10),
)
QUICK = LOSSY.model_copy(update={"up": Direction(rate_bit_per_s=8e6, delay_ms=20)})

#: Asks an echo server `count` times; says how long each took.
ASK = textwrap.dedent("""
    import json, socket, sys, time
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pause, patience = float(sys.argv[4]), float(sys.argv[5])
    times = []
    with socket.create_connection((host, port), timeout=patience) as probe:
        probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            began = time.monotonic()
            probe.sendall(b"?")
            assert probe.recv(1) == b"?"
            times.append(time.monotonic() - began)
            time.sleep(pause)
    print(json.dumps(times))
""")


SERVE = textwrap.dedent("""
    import socket, sys
    server = socket.create_server((sys.argv[1], 0))
    print(server.getsockname()[1], flush=True)
    client, _ = server.accept()
    while data := client.recv(99):
        client.sendall(data)
""")


def asked_from_inside(
    link: Link, address: Address, count: int, pause_s: float = 0, patience_s: float = 10
) -> list[float]:
    """The answers' times of a program behind the link."""
    command = [*link.command_prefix(), sys.executable, "-I", "-c", ASK, *map(str, address)]
    done = subprocess.run(
        [*command, str(count), str(pause_s), str(patience_s)],
        capture_output=True,
        text=True,
        check=True,
    )
    times: list[float] = json.loads(done.stdout)
    return times


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No namespace of this process remains after the test."""
    yield
    left = [path.name for path in Path("/run/netns").glob(f"{kernel.PREFIX}{os.getpid()}-*")]
    assert left == []


@pytest.mark.usefixtures("nothing_left")
def test_rates_delays_and_losses_are_those_of_the_profile() -> None:
    with open_link(LOSSY, "127.0.0.1", 1) as link:
        report = link.describe()
        assert link.counters().bytes_up < 1000
    assert report.implementation is Implementation.NAMESPACES
    measured = report.measured
    assert measured is not None
    assert measured.problems == ()
    assert measured.rate_up_bit_per_s == pytest.approx(8e6, rel=0.05)
    assert measured.rate_down_bit_per_s == pytest.approx(16e6, rel=0.05)
    assert measured.round_trip_ms == pytest.approx(30, abs=3)
    assert measured.loss_up_percent == pytest.approx(5, abs=2)
    assert measured.loss_down_percent == 0
    assert "5" in report.text() or "4." in report.text()


@pytest.mark.usefixtures("nothing_left")
def test_a_program_inside_reaches_a_server_on_loopback_through_the_link() -> None:
    with echo_server() as server, open_link(QUICK, *server, check=False) as link:
        times = asked_from_inside(link, Address(link.host, link.port), 5)
        assert 0.03 <= min(times) < 0.04
        assert link.counters().bytes_up > 0


@pytest.mark.usefixtures("nothing_left")
def test_a_server_inside_is_reached_from_outside_and_from_another_link() -> None:
    with (
        open_link(QUICK, "127.0.0.1", 1, check=False) as inner,
        open_link(QUICK, "127.0.0.1", 1, check=False) as outer,
    ):
        command = [*inner.command_prefix(), sys.executable, "-I", "-c", SERVE, inner.inside_host]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                exposed = inner.expose(int(process.stdout.readline()))
                found = outer.forward(*exposed)
                times = asked_from_inside(outer, found, 3)
            finally:
                process.kill()
        # Both links, both ways.
        assert 0.06 <= min(times) < 0.08


@pytest.mark.usefixtures("nothing_left")
def test_packets_of_an_outage_are_lost_and_tcp_recovers() -> None:
    profile = QUICK.model_copy(
        update={"outages": Outages(first_after_s=0.5, every_s=60, lasts_s=0.6)}
    )
    with echo_server() as server, open_link(profile, *server, check=False) as link:
        times = asked_from_inside(link, Address(link.host, link.port), 20, 0.05)
        assert 0.3 < max(times) < 3
        assert sorted(times)[-3] < 0.2
        assert link.counters().packets_lost > 0


@pytest.mark.usefixtures("nothing_left")
def test_a_cut_holds_until_it_is_restored() -> None:
    with echo_server() as server, open_link(QUICK, *server, check=False) as link:
        link.cut(Way.DOWN)
        with pytest.raises(subprocess.CalledProcessError):
            asked_from_inside(link, Address(link.host, link.port), 1, patience_s=0.5)
        link.restore()
        assert asked_from_inside(link, Address(link.host, link.port), 1)


def test_what_a_killed_process_left_is_removed_by_the_next_link() -> None:
    script = textwrap.dedent("""
        import os, signal
        from benchmarks.links import find_profile, open_link
        with open_link(find_profile("10mbit"), "127.0.0.1", 1, check=False) as link:
            print(link.name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    name = done.stdout.strip()
    assert name.startswith(kernel.PREFIX), done.stderr
    assert (Path("/run/netns") / name).exists()
    with open_link(find_profile("10mbit"), "127.0.0.1", 1, check=False):
        assert not (Path("/run/netns") / name).exists()


def test_netem_is_asked_for_the_same_link_where_the_kernel_has_it() -> None:
    profile = find_profile("2mbit_lossy")
    words = kernel.qdisc(profile.up, profile, has_netem=True)
    assert words[:5] == ["netem", "delay", "50ms", "loss", "2%"]
    assert words[5:7] == ["rate", "2000000bit"]
    assert kernel.qdisc(Direction(), profile, has_netem=False) == []
