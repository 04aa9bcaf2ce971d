"""The same images at the same times by the baselines, each alone on the same broker and the same links.

Their order turns with the repetitions, so that what else the machine does hits none of them always.
Their latency counts from the same schedule; what they lose is counted and not hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks.baselines.baseline import Baseline, Completion, Method
from benchmarks.baselines.baseline import Engine as BaselineEngine
from benchmarks.baselines.baseline import Site as BaselineSite
from benchmarks.baselines.running import open_baseline
from benchmarks.load.arrival_settings import ClosedArrivals
from benchmarks.load.arrivals import Plan
from benchmarks.load.histogram import histogram_of
from benchmarks.load.listening import difference
from benchmarks.load.measure_names import HANDOFF
from benchmarks.load.result import Latency, PathResult, ProgramKind
from benchmarks.load.scenario import Scenario
from benchmarks.load.site import Site, Tell
from benchmarks.load.spans import Load, busy_s, over_time
from benchmarks.load.usage import Usage
from broker_config.local import WORKER, edge_username
from service_runtime.boot import monotonic_ns

_LEAD_S = 0.2


@dataclass(frozen=True, slots=True)
class _Sent:
    """When an image was due, and what became of it."""

    due_ns: int
    completion: Completion


async def run_baselines(
    scenario: Scenario, site: Site, plan: Plan | None, turn: int, tell: Tell
) -> tuple[PathResult, ...]:
    """Each baseline's figures, in the scenario's order."""
    names = scenario.baselines
    if not names:
        return ()
    found: dict[str, PathResult] = {}
    for place in range(len(names)):
        name = names[(place + turn) % len(names)]
        found[name] = await _run(name, scenario, site, plan, tell)
    return tuple(found[name] for name in names)


async def _run(
    name: str, scenario: Scenario, site: Site, plan: Plan | None, tell: Tell
) -> PathResult:
    tell(f"baseline {name}", 0, 0)
    images = scenario.images
    engine = None
    if images.classified:
        wanted = scenario.worker
        engine = BaselineEngine(
            wanted.bundle, wanted.engine, wanted.device, wanted.precision, wanted.threads,
            images.um_per_px,
        )  # fmt: skip
    device = site.devices[0]
    place = BaselineSite(
        edge=site.broker_settings(edge_username(device)),
        worker=site.broker_settings(WORKER),
        device_link=site.device_link,
        worker_link=site.worker_link,
        folder=site.house.folder / f"baseline-{name}",
        device=device,
        engine=engine,
    )
    method = Method.HEMOWIRE if name == HANDOFF else Method(name)
    async with open_baseline(method, place) as running:
        counters = await site.listener.counters()
        passed = site.device_link.counters()
        usage = Usage(_processes(name, site, running))
        looking = asyncio.create_task(usage.run(), name="usage")
        start_ns = monotonic_ns() + round(_LEAD_S * 1e9)
        if plan is None:
            sent = await _closed(scenario, site, running, start_ns)
        else:
            sent = await _open(scenario, site, running, plan, start_ns)
        usage.finish()
        looking.cancel()
        after = site.device_link.counters()
        through = after.bytes_up + after.bytes_down - passed.bytes_up - passed.bytes_down
        return _result(name, running.facts.title, sent, Load(start_ns, scenario.phases)).model_copy(
            update={
                "link_bytes": through or None,
                "processes": usage.figures(),
                "others_cpu_percent": usage.others_cpu_percent,
                "broker": difference(counters, await site.listener.counters()),
            }
        )


async def _open(
    scenario: Scenario, site: Site, running: Baseline, plan: Plan, start_ns: int
) -> list[_Sent]:
    """Each image at its time, whatever became of those before."""
    due = sorted(
        (at_s, path)
        for times, paths in zip(plan, site.images, strict=True)
        for at_s, path in zip(times, paths, strict=True)
    )
    async with asyncio.TaskGroup() as group:
        tasks = []
        for at_s, path in due:
            due_ns = start_ns + round(at_s * 1e9)
            await asyncio.sleep(max(0.0, (due_ns - monotonic_ns()) / 1e9))
            tasks.append(group.create_task(_offer(running, path, due_ns, scenario)))
    return [task.result() for task in tasks]


async def _closed(scenario: Scenario, site: Site, running: Baseline, start_ns: int) -> list[_Sent]:
    """As many under way as the scenario's devices have, each followed by the next."""
    arrivals = scenario.arrivals
    assert isinstance(arrivals, ClosedArrivals)
    end_ns = start_ns + round(scenario.phases.load_s * 1e9)
    paths = iter(list(chain.from_iterable(zip(*site.images, strict=True))))
    sent: list[_Sent] = []

    async def one_after_another(paths: Iterator[Path]) -> None:
        await asyncio.sleep(max(0.0, (start_ns - monotonic_ns()) / 1e9))
        due_ns = start_ns
        for path in paths:
            sent.append(await _offer(running, path, due_ns, scenario))
            due_ns = monotonic_ns()
            if due_ns >= end_ns:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(arrivals.in_flight * scenario.devices.count):
            group.create_task(one_after_another(paths))
    return sent


async def _offer(running: Baseline, path: Path, due_ns: int, scenario: Scenario) -> _Sent:
    image = path.read_bytes()  # noqa: ASYNC240 - from the page cache: it was just written
    return _Sent(due_ns, await running.offer(image, scenario.phases.drain_s))


def _result(name: str, title: str, sent: Sequence[_Sent], load: Load) -> PathResult:
    def offset_s(at_ns: int) -> float:
        return (at_ns - load.start_ns) / 1e9

    arrived = [one for one in sent if not one.completion.failure and one.completion.stored_ns]
    counted = [one for one in sent if load.counts(offset_s(one.due_ns))]
    good = [one for one in arrived if load.counts(offset_s(one.due_ns))]
    is_classified = bool(arrived) and all(one.completion.classified_ns for one in arrived)

    def end_ns(one: _Sent) -> int:
        return one.completion.classified_ns if is_classified else one.completion.stored_ns

    spans: dict[str, list[tuple[int, int]]] = {
        "offered_to_stored": [(s.completion.started_ns, s.completion.stored_ns) for s in good],
        "scheduled_to_stored": [(s.due_ns, s.completion.stored_ns) for s in good],
    }
    if is_classified:
        spans["offered_to_published"] = [(s.completion.started_ns, end_ns(s)) for s in good]
        spans["scheduled_to_published"] = [(s.due_ns, end_ns(s)) for s in good]
    busy = busy_s((s.completion.started_ns / 1e9, s.completion.stored_ns / 1e9) for s in good)
    in_time = sum(load.counts(offset_s(end_ns(one))) for one in arrived)
    return PathResult(
        path=name,
        title=title,
        totals=tuple(_latency(span, pairs) for span, pairs in spans.items()),
        over_time=over_time(
            [offset_s(one.due_ns) for one in sent],
            [(offset_s(one.due_ns), (end_ns(one) - one.due_ns) / 1e6) for one in arrived],
            load,
        ),
        offered=len(counted),
        completed=len(good),
        lost=len(counted) - len(good),
        images_per_s=in_time / load.phases.measured_s,
        bytes_per_s=sum(one.completion.size_bytes for one in good) / busy if busy else 0.0,
    )


def _latency(name: str, pairs: Sequence[tuple[int, int]]) -> Latency:
    return histogram_of((end - start) / 1e6 for start, end in pairs).latency(name)


def _processes(name: str, site: Site, running: Baseline) -> dict[str, tuple[ProgramKind, int]]:
    ends: dict[str, tuple[ProgramKind, int]] = {
        f"{name} {end}": ("baseline", pid) for end, pid in running.pids.items()
    }
    broker = site.house.broker.process.pid
    return ends if broker is None else {"broker": ("broker", broker), **ends}
