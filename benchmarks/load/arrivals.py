"""When each device captures, from the scenario's arrivals and a seed; pure, a closed loop has no plan."""

from __future__ import annotations

import random

from benchmarks.load.arrival_settings import Arrivals, BurstArrivals, FixedArrivals, PoissonArrivals

#: Seconds from the first moment of load, of each device.
Plan = tuple[tuple[float, ...], ...]


def plan_arrivals(arrivals: Arrivals, devices: int, load_s: float, seed: int) -> Plan:
    """The times of every device, in order; raises ValueError for a closed loop, which has no plan."""
    times: list[list[float]] = [[] for _ in range(devices)]
    match arrivals:
        case FixedArrivals(rate_per_s=rate):
            for number in range(round(load_s * rate)):
                times[number % devices].append(number / rate)
        case PoissonArrivals(rate_per_s=rate):
            draw = random.Random(seed)
            at_s = draw.expovariate(rate)
            while at_s < load_s:
                times[draw.randrange(devices)].append(at_s)
                at_s += draw.expovariate(rate)
        case BurstArrivals(size=size, every_s=every_s):
            bursts = max(1, int(load_s / every_s + 1e-9))
            for mine in times:
                mine.extend(burst * every_s for burst in range(bursts) for _ in range(size))
        case _:
            raise ValueError("a closed loop captures when an image is done: it has no plan")
    return tuple(tuple(mine) for mine in times)


def planned_captures(plan: Plan, start_s: float = 0.0, end_s: float = float("inf")) -> int:
    """How many captures of the plan fall into this time."""
    return sum(start_s <= at_s < end_s for mine in plan for at_s in mine)
