"""A run on one page: start the programs, give images, do faults, wait until all is settled, read, judge."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from benchmarks.links.kernel import why_not as why_no_namespace
from broker_config.locate import MosquittoMissingError
from cloud_worker.models.bundle import NoSuchBundleError
from hemowire.chaos.disks import why_no_disk
from hemowire.chaos.history import (
    Begin,
    Ended,
    Event,
    History,
    HistoryError,
    read_history,
)
from hemowire.chaos.nemesis import Nemesis
from hemowire.chaos.pictures import draw_pictures
from hemowire.chaos.plant import Plant
from hemowire.chaos.plant_settings import Size
from hemowire.chaos.readings import (
    is_told,
    read_archive,
    read_as_operator,
    read_outbox,
    read_records,
)
from hemowire.chaos.report import report
from hemowire.chaos.schedule import FaultKind, Pace, plan_faults
from hemowire.chaos.screen import Screen
from hemowire.chaos.wall_clock import why_no_clock
from hemowire.chaos.workload import Workload
from hemowire.demo.processes import ProgramFailedError
from service_runtime.boot import monotonic_s
from service_runtime.log import configure_logging
from service_runtime.signals import FORCED_EXIT, stop_on_signals

#: The engine is compiled and measures itself before a worker takes anything.
_FIRST_RECORD_S = 180.0
_TELLING_S = 20.0


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """What `hemowire chaos` was asked to do."""

    seed: int
    images: int
    faults: int
    devices: int
    workers: int
    pace: Pace
    kinds: tuple[FaultKind, ...]
    is_brisk: bool
    #: One device behind a link that loses packets, where network namespaces are to be had.
    is_lossy: bool
    settle_s: float
    folder: Path | None
    json_file: Path | None


class StoppedError(Exception):
    """Somebody ended the run before all images had their end."""


def run_chaos(options: ChaosOptions) -> int:
    """0 where the promise held, 1 where it did not, 2 where the run could not be made."""
    configure_logging("error")  # each program keeps its own log
    folder = options.folder or _new_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        events = asyncio.run(_run(options, folder.resolve(), Console()))
    except (NoSuchBundleError, MosquittoMissingError) as error:
        print(f"hemowire chaos: {error}", file=sys.stderr)
        return 2
    except StoppedError:
        print(f"hemowire chaos: stopped before its end, so nothing is judged; files: {folder}")
        return FORCED_EXIT
    except ProgramFailedError as error:
        print(f"hemowire chaos: {error}", file=sys.stderr)
        return 1
    return report(events, folder, options.json_file)


def judge_again(file: Path, json_file: Path | None) -> int:
    """The verdict over the history of an earlier run; 2 where the file is none."""
    try:
        events = read_history(file)
    except (OSError, HistoryError) as error:
        print(f"hemowire chaos: {error}", file=sys.stderr)
        return 2
    return report(events, file.parent, json_file)


async def _run(options: ChaosOptions, folder: Path, console: Console) -> Sequence[Event]:
    missing = {FaultKind.DISK_FULL: why_no_disk(folder), FaultKind.CLOCK: why_no_clock()}
    left_out = {kind: why for kind, why in missing.items() if why and kind in options.kinds}
    for kind, why in left_out.items():
        console.print(f"left out: {kind}: {why}", highlight=False, soft_wrap=True)
    if options.is_lossy and why_no_namespace():
        console.print(f"left out: lost packets: {why_no_namespace()}", highlight=False)
    size = Size(
        options.devices,
        options.workers,
        options.is_brisk,
        has_disks=not missing[FaultKind.DISK_FULL],
        has_clocks=not missing[FaultKind.CLOCK],
        has_loss=options.is_lossy and not why_no_namespace(),
        has_deadly=FaultKind.DEADLY in options.kinds,
    )
    with History(folder / "history.jsonl", monotonic_s) as history, stop_on_signals() as stop:
        plant = Plant(folder, size, lambda name, code: history.add(Ended(program=name, code=code)))
        kinds = [kind for kind in options.kinds if kind not in left_out]
        plan = plan_faults(options.seed, options.faults, plant.targets, options.pace, kinds)
        workload = Workload(plant, history)
        nemesis = Nemesis(plant, plan, history, workload, Random(options.seed))
        screen = Screen(
            console, history, workload.seen, images=options.images, faults=options.faults
        )
        history.add(
            Begin(
                seed=options.seed,
                images=options.images,
                faults=options.faults,
                devices=tuple(plant.devices),
                workers=options.workers,
                left_out=tuple(f"{kind}: {why}" for kind, why in left_out.items()),
                lossy=plant.devices[-1] if size.has_loss else "",
            )
        )
        try:
            async with plant:
                whole = asyncio.create_task(
                    _strike_and_settle(plant, nemesis, workload, screen, options)
                )
                over = asyncio.create_task(stop.wait())
                ticking = asyncio.create_task(_tick(screen, nemesis))
                waiting: set[asyncio.Future[Any]] = {whole, over, plant.failed}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in (over, ticking, *(() if whole.done() else (whole,))):
                    task.cancel()
                await asyncio.gather(whole, over, ticking, return_exceptions=True)
                if plant.failed.done():
                    plant.failed.result()
                if whole.done() and not whole.cancelled():
                    whole.result()
                if whole.cancelled():
                    raise StoppedError
                screen.note, screen.faults_done = "ending the programs", nemesis.done
                await plant.stop("edge")
                await _told(plant)
                await plant.stop("worker", "records", "broker")
                await asyncio.to_thread(_read_all, plant, workload, history)
        finally:
            screen.stop()
        return history.events


async def _strike_and_settle(
    plant: Plant, nemesis: Nemesis, workload: Workload, screen: Screen, options: ChaosOptions
) -> None:
    watching = asyncio.create_task(workload.watch())
    try:
        pictures = draw_pictures(options.seed, options.images)
        every_s = options.faults * options.pace.every_s / options.images
        screen.note = "waiting for the first record"
        workload.give_one(next(pictures), plant.devices[0])
        await _until(lambda: bool(workload.seen.recorded), _FIRST_RECORD_S)
        screen.note = "waiting for every worker"
        await _until(plant.workers_are_up, _FIRST_RECORD_S)
        screen.note = "faults"
        await nemesis.back_up()
        giving = asyncio.create_task(workload.give(pictures, every_s))
        async with plant.wire.open():
            await nemesis.run()
        await giving
        screen.note = "waiting until every image is recorded"
        await _until(lambda: workload.seen.is_settled, options.settle_s)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until(reached: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came to that in time."""
    deadline = monotonic_s() + limit_s
    while not reached():
        if monotonic_s() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


async def _tick(screen: Screen, nemesis: Nemesis) -> None:
    while True:
        screen.faults_done = nemesis.done
        screen.tick()
        await asyncio.sleep(0.2)


async def _told(plant: Plant) -> None:
    """Until the records store has the last word of every device: reconcile goes by it."""
    told = partial(is_told, plant.database, plant.single_outboxes)
    await _until(told, _TELLING_S)


def _read_all(plant: Plant, workload: Workload, history: History) -> None:
    workload.look()
    workload.close()
    for device, outbox in plant.outboxes:
        history.add(read_outbox(device, outbox))
    history.add(read_records(plant.database))
    history.add(read_archive(plant.archive))
    history.add(read_as_operator(plant.records_config))


def _new_folder() -> Path:
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return base / "hemowire" / "chaos" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
