"""Workers come, go and freeze under load: nothing is lost, the load spreads, no image waits for one that is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.recovery.ground import open_ground
from benchmarks.shared_workers import KEEPALIVE_S, Phase, feed, measure_phase
from hemowire.chaos.checker import Verdict
from service_runtime.boot import monotonic_s

pytestmark = pytest.mark.timeout(240)
#: For an answer to an offer, on a machine that has other work.
_ANSWER_S = 20.0


async def run_phases(folder: Path) -> tuple[list[Phase], Verdict]:
    """All three workers, one stopped, and one that is back while another is frozen."""
    async with open_ground(folder, devices=2, workers=3) as ground:
        plant = ground.plant
        first, second, _ = plant.workers
        feeding = asyncio.create_task(feed(ground))
        phases = [await measure_phase(ground, "all", 5.0, answer_s=_ANSWER_S)]
        gone = plant.programs.programs[first]
        stopped_s = monotonic_s()
        await plant.programs.stop(first)
        phases.append(
            await measure_phase(ground, "one is stopped", 3.0, stopped_s, answer_s=_ANSWER_S)
        )
        started_s = monotonic_s()
        await plant.programs.start_command(first, gone.command, gone.environment)
        await ground.worker_online(first, started_s)
        frozen_s = monotonic_s()
        freezing = asyncio.create_task(ground.blows.freeze(second, 6.0))
        phases.append(await measure_phase(ground, "one is frozen", 4.0, frozen_s))
        await freezing
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        assert await ground.settled(120.0)
        return phases, await ground.judge()


def test_workers_come_go_and_freeze_and_nothing_is_lost(tmp_path: Path) -> None:
    (everybody, stopped, frozen), verdict = asyncio.run(run_phases(tmp_path / "run"))
    assert verdict.problems == ()
    # These pictures pass the gate (`test_chaos_pictures`): whatever is not diagnosed is a loss.
    assert verdict.captured == verdict.diagnosed
    assert verdict.diagnosed > 20
    assert len(everybody.shares) == 3
    assert everybody.jain > 0.8
    assert everybody.costs_s == stopped.costs_s == ()  # no offer went to a worker that drains
    assert frozen.costs_s  # the broker dealt some to it all the same
    # offer_wait and the machine's own time; never until the broker lets the worker go.
    assert max(frozen.costs_s) < KEEPALIVE_S
