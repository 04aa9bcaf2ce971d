"""The broker is killed and comes back: how long until the first chunk of each device is at a worker.

Every device has an image that was captured meanwhile. What is heard is the worker's first answer to
bytes of a device: Progress, or Stored of an image that rode in its offer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.recovery.ear import Heard
from benchmarks.recovery.figures import Figure
from benchmarks.recovery.ground import Ground
from wire_protocol.messages import Progress, Stored

#: Up to here a program looks for its broker more than once a second.
SHORT_S: Final = 60.0
#: The longest pause between two attempts to connect.
CAP_S: Final = 10.0
_FIRST_CHUNK_S = 60.0
_SETTLE_S = 180.0
#: A connection that is younger does not end an outage: see `service_runtime.backoff`.
_STABLE_S = 6.0


@dataclass(frozen=True, slots=True)
class Outage:
    """How long, and how often."""

    lasts_s: float
    times: int


async def measure_returns(ground: Ground, outages: Sequence[Outage]) -> list[Figure]:
    """One figure for each length; each device gives one value each time."""
    figures = []
    for outage in outages:
        waits: list[float] = []
        for number in range(outage.times):
            # Every second broker has lost its memory too.
            waits += await _once(ground, outage.lasts_s, forget=number % 2 == 1)
        limit_s = 1.0 if outage.lasts_s <= SHORT_S else CAP_S
        name = f"broker away for {outage.lasts_s:g} s: first chunk after its return"
        figures.append(Figure(name, tuple(waits), limit_s))
        print(figures[-1].row(), flush=True)
    ground.check()
    return figures


async def _once(ground: Ground, lasts_s: float, *, forget: bool) -> list[float]:
    devices = ground.plant.devices
    doing = asyncio.create_task(ground.blows.kill("broker", lasts_s, forget=forget))
    await asyncio.sleep(min(0.5, lasts_s / 2))
    for device in devices:
        ground.give(device)
    # Not before the process is gone: its port would still answer.
    await asyncio.sleep(max(0.0, lasts_s - 0.6))
    back_s = await ground.broker_back()
    first = await asyncio.gather(*(_first_chunk(ground, device, back_s) for device in devices))
    await doing
    if not await ground.settled(_SETTLE_S):
        raise TimeoutError("images of an outage were not recorded")
    await asyncio.sleep(_STABLE_S)
    return [at_s - back_s for at_s in first]


async def _first_chunk(ground: Ground, device: str, back_s: float) -> float:
    def is_it(heard: Heard) -> bool:
        said = heard.said
        has_bytes = isinstance(said, Stored) or (isinstance(said, Progress) and said.upto > 0)
        return heard.device == device and has_bytes

    what = f"the first chunk of {device}"
    return (await ground.ear.first(what, back_s, is_it, _FIRST_CHUNK_S)).at_s
