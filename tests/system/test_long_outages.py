"""The archive or the records store is away for an hour, on devices whose timers are sixty times as fast.

Every pause of a device has reached its limit long before the end of such an outage, as after an hour
with the shipped timers (`python -m benchmarks.recovery --away 3600` waits for a real one).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.recovery.ground import Ground, open_ground
from hemowire.chaos.checker import Verdict
from hemowire.chaos.history import Fault, Kind
from service_runtime.boot import monotonic_s
from wire_protocol.messages import Offer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

AWAY_S = 60.0
IMAGES = 24
CAUGHT_UP_S = 60.0


async def without(ground: Ground, what: str) -> None:
    """It is away, and images are captured all the while."""
    ground.events.append(Fault(kind=Kind.OK, number=1, fault="away", target=what))
    if what == "archive":
        away = asyncio.create_task(ground.blows.archive_away(AWAY_S))
    else:
        away = asyncio.create_task(ground.blows.kill("records", AWAY_S))
    for number in range(IMAGES):
        ground.give(ground.plant.devices[number % 2])
        await asyncio.sleep(AWAY_S / (IMAGES + 4))
    await away


async def run(folder: Path, what: str) -> tuple[float, int, Verdict]:
    """Seconds until all was recorded, uploads begun after the return, and the verdict."""
    async with open_ground(folder, devices=2, workers=2, brisk=True) as ground:
        await without(ground, what)
        back_s = monotonic_s()
        assert await ground.settled(2 * CAUGHT_UP_S)
        took_s = monotonic_s() - back_s
        uploads = ground.ear.since(
            back_s, lambda h: isinstance(h.said, Offer) and not h.said.stored
        )
        return took_s, len(uploads), await ground.judge()


@pytest.mark.parametrize("what", ["archive", "records"])
def test_what_was_away_for_long_is_caught_up_with_soon(what: str, tmp_path: Path) -> None:
    took_s, uploads, verdict = asyncio.run(run(tmp_path / "run", what))
    assert verdict.problems == ()
    assert verdict.captured == verdict.diagnosed == IMAGES + 2
    assert took_s < CAUGHT_UP_S
    if what == "records":
        assert uploads == 0  # the bytes were safe all the while
