"""Traces of the real programs on four machines with clocks of their own, while wall time jumps by hours.

The links to the broker are slower one way than the other, so that every comparison of clocks is
wrong: by how much is known here, and must be less than what each figure says of itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.links.profile import Direction, LinkProfile
from benchmarks.links.proxy import open_proxy
from broker_config.local import ENGINEER, HEMATOLOGIST, RECORDS, WORKER, LocalBroker, edge_username
from hemowire.chaos.wall_clock import WallClock
from hemowire.demo.toml_text import Value
from tests.dashboard.clients import TOPICS, Client, client
from tests.system.machines import Lab, Machine, can_be_elsewhere, elsewhere, here
from wire_protocol.joined_trace import JoinedTrace, StageTime
from wire_protocol.json_messages import TraceFragment
from wire_protocol.topics import Kind
from wire_protocol.trace import PREDECESSORS, STAGES, Stage
from wire_protocol.trace_join import TraceJoiner

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build the clock with"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
]

DEVICE, FIELDS = "scope-1", 8
HOUR_S = 3600
#: Where the wall clock stands, one after the other, while fragments come.
STEPS_S = (5 * HOUR_S, -7 * HOUR_S, 0, 26 * HOUR_S, -1 * HOUR_S, 400 * HOUR_S)
#: Milliseconds to the broker and back; each comparison is wrong by half the difference.
WAYS_MS = {"edge": (60, 4), "worker": (2, 40), "watch": (30, 2)}
AHEAD_S = {"edge": 100_000, "worker": 3_000, "watch": 70}


@dataclass
class Run:
    """What one run told, and the truth about its clocks."""

    machines: dict[str, Machine]
    traces: list[JoinedTrace]
    began_ns: int
    ended_ns: int

    def ahead_ns(self, boot_id: str) -> int:
        found = {one.boot_id: one.ahead_s for one in self.machines.values()}
        return found[boot_id] * 1_000_000_000

    def true_ns(self, trace: JoinedTrace) -> dict[Stage, int]:
        """Each stamp on THIS machine's monotonic clock."""
        return {m.stage: m.at.ns - self.ahead_ns(m.at.boot_id) for m in trace.moments}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("clocks")
    elsewhere_works = can_be_elsewhere(folder)
    machines = {
        program: elsewhere(ahead_s) if elsewhere_works else here()
        for program, ahead_s in AHEAD_S.items()
    } | {"records": here()}
    yield asyncio.run(watch_a_run(folder, machines))


async def watch_a_run(folder: Path, machines: dict[str, Machine]) -> Run:
    wall = WallClock(folder)
    broker = LocalBroker(folder / "broker", devices=[DEVICE])
    began_ns = time.monotonic_ns()
    with ExitStack() as stack:
        with patch.dict(os.environ, wall.environment):
            stack.enter_context(broker)
        ports = {
            program: stack.enter_context(
                open_proxy(profile(program), "127.0.0.1", broker.port, check=False)
            ).port
            for program in AHEAD_S
        }
        lab = Lab(folder, broker)
        lab.environment = wall.environment
        archive = {"archive_url": str(lab.archive)}
        database = {"database_url": f"sqlite:///{lab.database}"}
        settings: dict[str, Mapping[str, Value]] = {
            "records": archive | database | {"broker": lab.account(RECORDS, broker.port)},
            "worker": archive | {"broker": lab.account(WORKER, ports["worker"])},
            "watch": {"broker": lab.account(HEMATOLOGIST, ports["watch"])},
            "edge": {
                "site": "lab",
                "device": DEVICE,
                "data_dir": folder / DEVICE,
                "camera": {"kind": "simulated", "count": FIELDS, "rate_per_s": 4.0},
                "broker": lab.account(edge_username(DEVICE), ports["edge"]),
            },
        }
        arguments = {"watch": ["--plain"], "edge": ["--exit-when-done"]}
        async with client(broker, ENGINEER, TOPICS.every(Kind.TRACE)) as engineer:
            for program, table in settings.items():
                more = arguments.get(program, [])
                stack.enter_context(lab.running(program, table, machines[program], *more))
            traces = await join_while_wall_time_jumps(engineer, wall)
    return Run(machines, traces, began_ns, time.monotonic_ns())


async def join_while_wall_time_jumps(engineer: Client, wall: WallClock) -> list[JoinedTrace]:
    """Each fragment that comes moves the wall clocks of all programs, the broker's too."""
    joiner, traces = TraceJoiner(), list[JoinedTrace]()
    steps, heard = cycle(STEPS_S), 0
    async with asyncio.timeout(150):
        while len(traces) < FIELDS:
            engineer.arrived.clear()
            for message in engineer.received[heard:]:
                joiner.add(TraceFragment.from_bytes(message.payload), 0)
                wall.step_to(next(steps))
                heard += 1
            traces += joiner.finished(0)
            if len(traces) < FIELDS:
                await engineer.arrived.wait()
    return traces


def profile(program: str) -> LinkProfile:
    """Slower one way than the other."""
    up_ms, down_ms = WAYS_MS[program]
    up, down = Direction(delay_ms=up_ms), Direction(delay_ms=down_ms)
    return LinkProfile(name=program, title=program, up=up, down=down)


def every_time(run: Run) -> list[tuple[JoinedTrace, StageTime]]:
    return [(trace, took) for trace in run.traces for took in (*trace.stages, *trace.totals)]


def test_every_field_has_a_whole_trace_while_wall_time_jumps_by_hours(run: Run) -> None:
    assert len({trace.image_id for trace in run.traces}) == FIELDS
    walls_ns = [trace.captured_unix_ns or 0 for trace in run.traces]
    assert max(walls_ns) - min(walls_ns) > 2 * HOUR_S * 10**9, "the jumps were felt"
    for trace in run.traces:
        assert trace.is_complete
        assert {trace.device, trace.worker.rpartition("-")[0]} == {DEVICE, "worker"}
        told = {moment.stage for moment in trace.moments}
        # An image that rides in its offer is not claimed.
        assert told >= set(STAGES) - {Stage.CLAIMED}
        assert {one.stage for one in trace.stages} == told - {Stage.SCHEDULED}
        assert len(trace.totals) == 6


def test_no_stamp_follows_the_wall_clock(run: Run) -> None:
    for trace in run.traces:
        true_ns = run.true_ns(trace)
        assert all(run.began_ns < ns < run.ended_ns for ns in true_ns.values())
        for stage, starts in PREDECESSORS.items():
            start = next((s for s in starts if s in true_ns), None)
            if stage in true_ns and start is not None:
                assert true_ns[start] <= true_ns[stage], (start, stage)


def test_every_figure_covers_the_truth(run: Run) -> None:
    for trace, took in every_time(run):
        true_ns = run.true_ns(trace)
        true_ms = (true_ns[took.stage] - true_ns[took.start]) / 1e6
        assert abs(took.duration_ms - true_ms) <= took.error_ms + 1e-6, took


def test_what_happens_on_one_machine_has_no_error_and_across_machines_it_is_as_the_links_are(
    run: Run,
) -> None:
    if len(run.machines) != len({machine.boot_id for machine in run.machines.values()}):
        pytest.skip("no root, or no time namespaces: all programs share one clock")
    wrong = []
    for trace, took in every_time(run):
        boots = {m.at.boot_id for m in trace.moments if m.stage in (took.start, took.stage)}
        if len(boots) == 1:
            assert took.error_ms == 0
            continue
        true_ns = run.true_ns(trace)
        wrong.append(abs(took.duration_ms - (true_ns[took.stage] - true_ns[took.start]) / 1e6))
        legs_ms = sum(sum(ways) / 2 for ways in WAYS_MS.values())
        assert 0 < took.error_ms < 2 * legs_ms, "no better and no worse than the round trips"
    assert max(wrong) > 20, (
        "the links are lopsided enough to mislead whoever trusts half of a round trip"
    )
