"""One trial: a broker, a records store, one worker and a fleet, from empty folders until every image is recorded."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.fleet.samples import Samples, Series, jain
from benchmarks.load.house import SITE, House
from benchmarks.load.listening import Listener, difference
from benchmarks.load.result import BrokerCounters
from broker_config.local import ENGINEER, RECORDS, WORKER, LocalBroker
from dashboard.outcomes import read_outcomes, read_set_aside
from edge_device.fleet import FleetReport, FleetSettings
from edge_device.outbox import read_snapshot
from hemowire.demo.toml_text import toml_text
from hemowire.fleet import Fleet
from service_runtime.boot import monotonic_s
from service_runtime.settings import load_settings
from wire_protocol.machine_io import OutboxState

_START_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked for."""

    name: str
    devices: int
    captures: int
    every_s: float
    at_once: bool
    width_px: int
    height_px: int
    processes: int
    pool_mib: int
    classified: bool
    limit_s: float

    @property
    def images(self) -> int:
        """In all."""
        return self.devices * self.captures


@dataclass(slots=True)
class Result:
    """What came of it."""

    took_s: float
    report: FleetReport
    series: dict[str, Series]
    broker: BrokerCounters
    #: Recorded so far, and how evenly over the devices, while all had images waiting.
    fairness: list[tuple[int, float]] = field(default_factory=list)
    recorded: int = 0
    twice: int = 0
    set_aside: int = 0
    unsettled: int = 0
    image_bytes: float = 0.0
    #: Of the worker's counters, as its last word has them.
    worker_busy: int = 0


async def run_trial(trial: Trial, folder: Path) -> Result:
    """The trial's figures; raises StartError, ProgramEndedError or TimeoutError."""
    names = [f"fleet-{number}" for number in range(1, trial.devices + 1)]
    broker = LocalBroker(folder / "broker", site=SITE, devices=names)
    _count_every_second(broker)
    listener = Listener(broker.settings(ENGINEER))
    house = House(folder, broker)
    with broker:
        listening = asyncio.create_task(listener.run())
        try:
            _start(trial, house)
            for program in ("records", "worker"):
                await _online(house, listener, program)
            return await _load(trial, house, listener)
        finally:
            listening.cancel()
            await asyncio.to_thread(house.stop, "worker", "records")
            await asyncio.gather(listening, return_exceptions=True)


def _start(trial: Trial, house: House) -> None:
    records = house.write(
        "records",
        {
            "database_url": f"sqlite:///{house.folder / 'records.sqlite'}",
            "archive_url": str(house.folder / "archive"),
            "log_level": "warning",
            "broker": house.table(RECORDS),
        },
    )
    house.start("records", "records", ["-m", "hemowire", "records", "--config", str(records)])
    worker = house.write(
        "worker",
        {
            "archive_url": str(house.folder / "archive"),
            "log_level": "warning",
            "broker": house.table(WORKER),
            "transfer": {"pool_bytes": trial.pool_mib * 1024 * 1024},
            "limits": {"decoded_images": 4, "count_white_cells": trial.classified},
        },
    )
    house.start("worker", "worker", ["-m", "hemowire", "worker", "--config", str(worker)])


async def _online(house: House, listener: Listener, program: str) -> None:
    end_s = monotonic_s() + _START_S
    while not await listener.until(lambda: bool(listener.online(program)), 1.0):
        house.check()
        if monotonic_s() > end_s:
            raise TimeoutError(f"{program} is not online after {_START_S:.0f} s")


async def _load(trial: Trial, house: House, listener: Listener) -> Result:
    config = house.folder / "fleet.toml"
    config.write_text(_fleet(trial, house), encoding="utf-8")
    settings = load_settings(FleetSettings, config, environ={})
    before = await listener.counters()
    began_s = monotonic_s()
    fleet = Fleet(settings, config)
    pids = {name: program.process.pid for name, program in house.programs.items()}
    assert house.broker.process.pid is not None
    pids["broker"] = house.broker.process.pid
    pids |= {f"fleet {n + 1}": process.pid for n, process in enumerate(fleet.processes)}
    fairness: list[tuple[int, float]] = []
    try:
        with Samples(pids) as samples:
            while any(process.poll() is None for process in fleet.processes):
                house.check()
                if monotonic_s() - began_s > trial.limit_s:
                    raise TimeoutError(f"{trial.name}: not done after {trial.limit_s:.0f} s")
                await asyncio.sleep(0.5)
                _note(trial, fleet.total(), fairness)
    finally:
        fleet.stop()
        code = await asyncio.to_thread(fleet.wait, lambda _: None)
    if code:
        raise RuntimeError(f"a process of the fleet ended with code {code}")
    took_s = monotonic_s() - began_s
    counted = difference(before, await listener.counters())
    result = Result(took_s, fleet.total(), samples.series, counted, fairness)
    await asyncio.to_thread(_check, trial, house, result)
    return result


def _note(trial: Trial, report: FleetReport, fairness: list[tuple[int, float]]) -> None:
    """How even it is while everyone still has something waiting; not at the end, where all have all."""
    line = f"\r{trial.name}: {report.captured} captured, {report.recorded} recorded   "
    print(line, end="", file=sys.stderr, flush=True)
    is_whole = len(report.recorded_each) == trial.devices
    if is_whole and 0.4 <= report.recorded / trial.images <= 0.8:
        found = (report.recorded, jain(report.recorded_each))
        if not fairness or fairness[-1][0] != found[0]:
            fairness.append(found)


def _check(trial: Trial, house: House, result: Result) -> None:
    """Every image from the outboxes' and the records store's own files."""
    rows = read_outcomes(f"sqlite:///{house.folder / 'records.sqlite'}")
    result.set_aside = len(read_set_aside(f"sqlite:///{house.folder / 'records.sqlite'}"))
    recorded = Counter(row.sha256 for row in rows)
    result.recorded = len(recorded)
    result.twice = sum(count - 1 for count in recorded.values())
    sizes = 0
    for number in range(1, trial.devices + 1):
        snapshot = read_snapshot(house.folder / "devices" / f"fleet-{number}" / "outbox")
        ids = [row.seq for row in snapshot.rows]
        is_gapless = ids == list(range(1, trial.captures + 1))
        held = [row for row in snapshot.rows if row.state is not OutboxState.RECORDED]
        unknown = [row for row in snapshot.rows if row.sha256 not in recorded]
        result.unsettled += len(held) + len(unknown) + (not is_gapless)
        sizes += sum(row.size_bytes for row in snapshot.rows)
    result.image_bytes = sizes / trial.images
    result.worker_busy = result.report.busy


def _fleet(trial: Trial, house: House) -> str:
    return toml_text(
        {
            "site": SITE,
            "devices": trial.devices,
            "processes": trial.processes,
            "captures": trial.captures,
            "every_s": trial.every_s,
            "at_once": trial.at_once,
            "data_dir": house.folder / "devices",
            "outbox": {"min_free_bytes": 0},
            "images": {
                "width_px": trial.width_px,
                "height_px": trial.height_px,
                "classified": trial.classified,
            },
            "broker": {
                "port": house.broker.port,
                "username": "edge-{device}",
                "password_file": house.broker.password_file("edge-{device}"),
            },
        }
    )


def _count_every_second(broker: LocalBroker) -> None:
    config = broker.process.rendered.config_file
    lines = config.read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if not line.startswith("sys_interval")]
    config.write_text("\n".join([*others, "sys_interval 1"]) + "\n", encoding="utf-8")
