"""TCP's congestion control follows the losses: judged by counters, on a live session, and over real lossy links."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.links import Direction, LinkProfile, kernel, open_link
from broker_config.local import LocalBroker
from service_runtime.congestion import (
    BBR,
    BY_LOSS,
    FIRST_PAUSE_S,
    SAMPLE_SEGMENTS,
    LossJudge,
    Sent,
    congestion_of,
)
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import DELIVERED, NO_SUBSCRIBERS, Connected, SessionOptions
from tests.benchmarks.links.echo import echo_server
from tests.service_runtime.peers import run, running

_ALGORITHMS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
needs_bbr = pytest.mark.skipif(
    not _ALGORITHMS.is_file() or BBR not in _ALGORITHMS.read_text().split(),
    reason="this kernel has no bbr to choose",
)
NO_NAMESPACES = kernel.why_not()
MANY = SAMPLE_SEGMENTS


def test_a_link_is_called_clean_only_when_enough_was_sent_without_loss() -> None:
    judge = LossJudge()
    assert not judge.look(Sent(0, 0), 0)
    assert not judge.look(Sent(MANY - 1, 0), 1)
    assert judge.look(Sent(MANY, 0), 2)
    assert judge.look(Sent(MANY, 0), 3), "nothing new was sent"


def test_two_percent_lost_are_never_called_clean() -> None:
    judge = LossJudge()
    looks = [judge.look(Sent(second * MANY, second * MANY // 50), second) for second in range(50)]
    assert not any(looks)


def test_losses_are_noticed_before_a_whole_sample_and_are_not_tried_again_at_once() -> None:
    judge = LossJudge()
    assert judge.look(Sent(MANY, 0), 0)
    assert not judge.look(Sent(MANY + 20, 3), 1)
    assert not judge.look(Sent(9 * MANY, 3), FIRST_PAUSE_S)
    assert judge.look(Sent(10 * MANY, 3), FIRST_PAUSE_S + 1)
    # The next pause is twice as long.
    assert not judge.look(Sent(11 * MANY, MANY), FIRST_PAUSE_S + 2)
    assert not judge.look(Sent(12 * MANY, MANY), 3 * FIRST_PAUSE_S)
    assert judge.look(Sent(13 * MANY, MANY), 3 * FIRST_PAUSE_S + 2)


def test_a_single_packet_that_was_lost_changes_nothing() -> None:
    judge = LossJudge()
    assert judge.look(Sent(MANY, 0), 0)
    assert judge.look(Sent(2 * MANY, 1), 1)


@needs_bbr
def test_a_session_begins_with_bbr_and_leaves_it_on_a_clean_link(
    broker: LocalBroker,
) -> None:
    async def main() -> None:
        options = SessionOptions(client_id="edge-test", congestion=BY_LOSS)
        async with running(MqttSession(broker.settings("edge-scope-1"), options)) as peer:
            await peer.next_of(Connected)
            live = peer.session.socket
            assert live is not None
            assert congestion_of(live) == BBR
            async with asyncio.timeout(40):
                while congestion_of(live) == BBR:  # one by one: each a segment of its own
                    sent = peer.session.publish("hemowire/v1/ingest/w1/scope-1", b"?")
                    assert await sent in (DELIVERED, NO_SUBSCRIBERS)

    run(main())


#: Sends 64 KiB pieces to an echo server and says the congestion control after each; a busy machine
#: has packets sent again too, so a clean link is given more of them, until it is found to be clean.
SEND = textwrap.dedent("""
    import socket, sys
    from service_runtime.congestion import CongestionByLoss, congestion_of
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30) as sock:
        chooser = CongestionByLoss(sock)
        for second in range(int(sys.argv[3])):
            sock.sendall(bytes(65536))
            left = 65536
            while left:
                left -= len(sock.recv(left))
            chooser.look(second)
            print(congestion_of(sock), flush=True)
            if sys.argv[4] == "until clean" and congestion_of(sock) != "bbr":
                break
""")


@needs_bbr
@pytest.mark.skipif(bool(NO_NAMESPACES), reason=f"no namespaces here: {NO_NAMESPACES}")
@pytest.mark.parametrize("loss_percent", [0, 3])
def test_only_a_link_that_loses_packets_keeps_bbr(loss_percent: float) -> None:
    profile = LinkProfile(
        name="tried",
        title="40 Mbit/s, 2 ms",
        up=Direction(rate_bit_per_s=40e6, delay_ms=2, loss_percent=loss_percent),
        down=Direction(rate_bit_per_s=40e6, delay_ms=2),
    )
    with echo_server() as server, open_link(profile, *server, check=False) as link:
        pieces = ["40", "to the end"] if loss_percent else ["600", "until clean"]
        command = [*link.command_prefix(), sys.executable, "-c", SEND, link.host, str(link.port)]
        done = subprocess.run([*command, *pieces], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert names[0] == BBR
    if loss_percent:
        # A sample without any loss is there once in two thousand, and is soon noticed.
        assert names.count(BBR) > 30
    else:
        assert names[-1] != BBR
