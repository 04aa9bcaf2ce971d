"""The same site at one rate after the other, from low to high, until one is not held; where that is, is the knee."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.load.arrival_settings import FixedArrivals, PoissonArrivals
from benchmarks.load.arrivals import plan_arrivals
from benchmarks.load.pictures import Picture
from benchmarks.load.repetition import hemowire_path, offer_load
from benchmarks.load.result import PathResult, Sweep, SweepPoint
from benchmarks.load.scenario import PhaseSettings, Scenario
from benchmarks.load.site import Tell, open_site, run_folder

#: A rate is held where what was published in the measured time lags behind what was offered in it
#: by no more than this share, or by this many images where that is more: arrivals are random.
LAG_SHARE, LAG_IMAGES = 0.05, 2
#: Points beyond the first that is not held, for the picture.
_BEYOND = 1
_TOTAL = "scheduled_to_published"
_WARM_UP_S, _COOL_DOWN_S, _DRAIN_S = 1.5, 0.5, 20.0
_FIRST_NUMBER = 500_000_000


async def run_sweep(scenario: Scenario, pictures: Sequence[Picture], tell: Tell) -> Sweep:
    """All points; raises StartError or ProgramEndedError."""
    wanted = scenario.sweep
    assert wanted is not None
    phases = PhaseSettings(
        warm_up_s=_WARM_UP_S,
        measured_s=wanted.measured_s,
        cool_down_s=_COOL_DOWN_S,
        drain_s=_DRAIN_S,
    )
    plans = [
        plan_arrivals(
            _at(scenario, rate), scenario.devices.count, phases.load_s, scenario.seed * 77 + place
        )
        for place, rate in enumerate(sorted(wanted.rates_per_s))
    ]
    captures = [sum(len(plan[device]) for plan in plans) for device in range(len(plans[0]))]
    points: list[SweepPoint] = []
    with run_folder(scenario, sum(captures)) as folder:
        async with open_site(
            scenario, folder, pictures, captures, first_number=_FIRST_NUMBER, check_links=False,
            tell=tell,
        ) as site:  # fmt: skip
            for rate, plan in zip(sorted(wanted.rates_per_s), plans, strict=True):

                def tell_rate(what: str, done: float, whole: float, rate: float = rate) -> None:
                    tell(f"sweep at {rate:g}/s: {what}", done, whole)

                load = await offer_load(site, phases, plan, scenario.arrivals, tell_rate)
                await site.listener.until(lambda: not site.listener.awaited_traces, 2.0)
                traces = [
                    trace
                    for trace in [*site.listener.traces, *site.listener.unfinished()]
                    if load.is_of(trace)
                ]
                path = hemowire_path(site, load, traces)
                offered_per_s = path.offered / phases.measured_s
                total = next((one for one in path.totals if one.name == _TOTAL), None)
                points.append(
                    SweepPoint(
                        offered_per_s=offered_per_s,
                        achieved_per_s=path.images_per_s,
                        p50_ms=total.p50_ms if total else 0.0,
                        p95_ms=total.p95_ms if total else 0.0,
                        p99_ms=total.p99_ms if total else 0.0,
                        lost=path.lost,
                        is_held=not path.lost and _keeps_up(path, phases),
                    )
                )
                if sum(not point.is_held for point in points) > _BEYOND:
                    break
                await asyncio.sleep(0)
    return find_knee(points)


def find_knee(points: Sequence[SweepPoint]) -> Sweep:
    """The highest rate below the first that was not held."""
    held = None
    for point in points:
        if not point.is_held:
            if held is None:
                text = f"not even {point.offered_per_s:.3g} images/s were held"
            else:
                text = (
                    f"held to {held:.3g} images/s; of {point.offered_per_s:.3g} "
                    f"only {point.achieved_per_s:.3g} came through"
                )
            return Sweep(total=_TOTAL, points=tuple(points), knee_per_s=held, knee_text=text)
        held = point.offered_per_s
    text = f"every rate was held, up to {held:.3g} images/s: the knee lies beyond" if held else ""
    return Sweep(total=_TOTAL, points=tuple(points), knee_per_s=None, knee_text=text)


def _keeps_up(path: PathResult, phases: PhaseSettings) -> bool:
    lag = path.offered - path.images_per_s * phases.measured_s
    return lag <= max(LAG_SHARE * path.offered, LAG_IMAGES)


def _at(scenario: Scenario, rate: float) -> FixedArrivals | PoissonArrivals:
    if isinstance(scenario.arrivals, PoissonArrivals):
        return PoissonArrivals(kind="poisson", rate_per_s=rate)
    return FixedArrivals(kind="fixed", rate_per_s=rate)
