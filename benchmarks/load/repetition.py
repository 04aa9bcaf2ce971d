"""One repetition on one page: offer the load to a whole site, let it end, count, then carry the same by other ways.

images -> everything online -> plans written: load -> drain -> stop
-> count from the parties' own files -> the same images and times by each baseline
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.links.link import Link as OpenLink
from benchmarks.load.arrival_settings import ClosedArrivals
from benchmarks.load.arrivals import Plan, plan_arrivals
from benchmarks.load.baseline_runs import run_baselines
from benchmarks.load.engine import engine_of
from benchmarks.load.engine_alone import measure_alone
from benchmarks.load.listening import difference
from benchmarks.load.pictures import Picture
from benchmarks.load.result import Counts, Link, PathResult, Repetition
from benchmarks.load.scenario import PhaseSettings, Scenario
from benchmarks.load.site import Site, Tell, open_site, run_folder
from benchmarks.load.spans import (
    Load,
    busy_s,
    measured,
    over_time,
    span_latencies,
    stage_latencies,
)
from benchmarks.load.usage import Usage
from hemowire.demo.check import DeviceFiles, Verdict, check
from service_runtime.boot import monotonic_ns, wall_time
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.trace import Stage

#: From the writing of the plans to the first capture.
_LEAD_S = 0.5
_LOOK_S = 0.05
#: For the last traces, which are QoS 0 and may be lost.
_TRACES_S = 4.0


@dataclass(frozen=True, slots=True)
class Done:
    """A repetition, and the links that it ran behind."""

    repetition: Repetition
    links: tuple[Link, ...]


async def run_repetition(
    scenario: Scenario, number: int, pictures: Sequence[Picture], tell: Tell
) -> Done:
    """From empty folders to the figures; raises StartError or ProgramEndedError."""
    seed = scenario.seed * 1000 + number
    plan = plan_of(scenario, seed)
    captures = _captures(scenario, plan)
    started = wall_time()
    alone = [await measure_alone(scenario, tell)]
    with run_folder(scenario, sum(captures)) as folder:
        async with open_site(
            scenario,
            folder,
            pictures,
            captures,
            first_number=number * 1_000_000,
            check_links=number == 1,
            tell=tell,
        ) as site:
            worker = site.listener.online("worker")[0]
            before = site.device_link.counters()
            counters = await site.listener.counters()
            usage = Usage(site.processes())
            looking = asyncio.create_task(usage.run(), name="usage")
            load = await offer_load(site, scenario.phases, plan, scenario.arrivals, tell)
            usage.finish()
            looking.cancel()
            counted = difference(counters, await site.listener.counters())
            passed = site.device_link.counters()
            await site.listener.until(lambda: not site.listener.awaited_traces, _TRACES_S)
            tell("counting what became of every image", 0, 0)
            await asyncio.to_thread(site.house.stop, "edge", "watch", "worker", "records")
            verdict = await asyncio.to_thread(_check, site)
            traces = site.listener.finish()
            path = hemowire_path(site, load, traces).model_copy(
                update={
                    "link_bytes": (
                        passed.bytes_up + passed.bytes_down - before.bytes_up - before.bytes_down
                    )
                    or None,
                    "processes": usage.figures(),
                    "others_cpu_percent": usage.others_cpu_percent,
                    "broker": counted,
                }
            )
            alone.append(await measure_alone(scenario, tell))
            baselines = await run_baselines(scenario, site, plan, number, tell)
            links = (describe(site.device_link, "device"), describe(site.worker_link, "worker"))
    repetition = Repetition(
        number=number,
        seed=seed,
        started=started,
        load_s=load.phases.load_s,
        engine=engine_of(scenario, worker, pictures[0], alone),
        counts=_counts(verdict, site, load, traces),
        hemowire=path,
        baselines=baselines,
    )
    return Done(repetition, links)


def plan_of(scenario: Scenario, seed: int) -> Plan | None:
    """The captures of an open loop; None for a closed one."""
    if isinstance(scenario.arrivals, ClosedArrivals):
        return None
    return plan_arrivals(scenario.arrivals, scenario.devices.count, scenario.phases.load_s, seed)


async def offer_load(
    site: Site, phases: PhaseSettings, plan: Plan | None, arrivals: object, tell: Tell
) -> Load:
    """Offers one load and returns when all of it is recorded, or `drain_s` after its end."""
    recorded_before, offered_before = len(site.listener.recorded), site.plans.offered
    start_ns = monotonic_ns() + round(_LEAD_S * 1e9)
    if plan is None:
        assert isinstance(arrivals, ClosedArrivals)
        site.plans.start_closed(start_ns, phases.load_s, arrivals)
    else:
        site.plans.write(start_ns, plan)
    end_ns = start_ns + round(phases.load_s * 1e9)
    late_ns = end_ns + round(phases.drain_s * 1e9)
    while (now_ns := monotonic_ns()) < late_ns:
        site.house.check()
        done = len(site.listener.recorded) - recorded_before
        offered = site.plans.offered - offered_before
        if now_ns < start_ns:
            tell("load", 0, phases.load_s)
        elif now_ns < end_ns and not site.plans.is_exhausted:
            tell(f"load: {done} recorded", (now_ns - start_ns) / 1e9, phases.load_s)
        else:
            tell(f"draining: {done} of {offered} recorded", done, offered)
            if done >= offered:
                break
        await asyncio.sleep(_LOOK_S)
    return Load(start_ns, phases)


def hemowire_path(site: Site, load: Load, traces: Sequence[JoinedTrace]) -> PathResult:
    """Hemowire's figures of the measured phase."""
    counted = measured(traces, load)
    complete = [trace for trace in counted if trace.has(Stage.PUBLISHED)]
    scheduled_s = [
        (at_ns - load.start_ns) / 1e9
        for device in site.devices
        for at_ns in site.plans.asked(device)
        if at_ns >= load.start_ns
    ]
    finished = []
    transfers = []
    size_bytes = 0
    in_time = 0
    for trace in traces:
        at_s = load.offset_s(trace, Stage.SCHEDULED)
        whole = trace.between(Stage.SCHEDULED, Stage.PUBLISHED)
        if at_s is not None and whole is not None and at_s >= 0:
            finished.append((at_s, whole.duration_ms))
        in_time += load.counts(load.offset_s(trace, Stage.PUBLISHED))
    for trace in counted:
        offered_s = load.offset_s(trace, Stage.OFFERED)
        stored_s = load.offset_s(trace, Stage.ARCHIVED)
        if offered_s is not None and stored_s is not None and trace.size_bytes is not None:
            transfers.append((offered_s, stored_s))
            size_bytes += trace.size_bytes
    offered = sum(load.counts(at_s) for at_s in scheduled_s)
    busy = busy_s(transfers)
    return PathResult(
        path="hemowire",
        title="hemowire",
        totals=span_latencies(counted),
        stages=stage_latencies(counted),
        over_time=over_time(scheduled_s, finished, load),
        offered=offered,
        completed=len(complete),
        lost=offered - len(complete),
        images_per_s=in_time / load.phases.measured_s,
        bytes_per_s=size_bytes / busy if busy else 0.0,
    )


def describe(link: OpenLink, leg: str) -> Link:
    """A link as the document has it."""
    report = link.describe()
    profile, found = report.profile, report.measured
    rate = profile.up.rate_bit_per_s
    return Link.model_validate(
        {
            "leg": leg,
            "profile": profile.name,
            "implementation": report.implementation.value,
            "description": report.text(),
            "rate_bit_per_s": rate if found is None else found.rate_up_bit_per_s or rate,
            "one_way_delay_ms": profile.up.delay_ms,
            "loss_percent": profile.up.loss_percent,
        }
    )


def _captures(scenario: Scenario, plan: Plan | None) -> list[int]:
    if plan is not None:
        return [len(times) for times in plan]
    assert isinstance(scenario.arrivals, ClosedArrivals)
    return [scenario.arrivals.images] * scenario.devices.count


def _check(site: Site) -> Verdict:
    """The demo's checker, over the files of the images that were asked for."""
    files = []
    for device, images in zip(site.devices, site.images, strict=True):
        asked = [str(path) for path in images[: len(site.plans.asked(device))]]
        files.append(DeviceFiles(device, site.outbox(device), asked))
    return check(files, site.archive, site.records_url)


def _counts(verdict: Verdict, site: Site, load: Load, traces: Sequence[JoinedTrace]) -> Counts:
    complete = [trace for trace in measured(traces, load) if trace.has(Stage.RECORDED)]
    asked = [at_ns for device in site.devices for at_ns in site.plans.asked(device)]
    return Counts(
        offered=len(asked),
        captured=verdict.captured,
        recorded=verdict.recorded,
        rejected=verdict.rejected,
        held=verdict.held,
        lost=verdict.lost,
        duplicates=verdict.duplicates,
        measured_offered=sum(load.counts((at_ns - load.start_ns) / 1e9) for at_ns in asked),
        measured_completed=len(complete),
        problems=verdict.problems[:20],
    )
