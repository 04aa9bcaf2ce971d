"""The demo's program on one page: start the processes, watch the wire, end them in order, count from their files."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from rich.console import Console

from broker_config.local import ENGINEER, HEMATOLOGIST, OPERATOR
from broker_config.locate import MosquittoMissingError
from cloud_worker.models.bundle import BundleRefusedError, NoSuchBundleError
from hemowire.demo.check import DeviceFiles, check
from hemowire.demo.house import SITE, House, prepare_house
from hemowire.demo.observe import (
    ENGINEER_KINDS,
    HEMATOLOGIST_KINDS,
    OPERATOR_KINDS,
    Observer,
)
from hemowire.demo.options import DemoOptions, OptionsError
from hemowire.demo.pace import rate_per_device
from hemowire.demo.page import open_page, phone_words, somebody_came
from hemowire.demo.processes import ProgramFailedError, Programs
from hemowire.demo.progress import Progress
from hemowire.demo.report import print_verdict, result_json
from hemowire.demo.screen import Screen
from hemowire.demo.sources import NoImagesError, Share, share_count, share_folder
from service_runtime.boot import boot_id
from service_runtime.log import configure_logging
from service_runtime.signals import stop_on_signals
from wire_protocol.json_messages import Presence, Status

#: The engine measures itself and compiles its graph before the worker says online.
WORKER_START_S = 180.0
#: After Ctrl-C the cameras stop and what they captured is given this long to be recorded.
DRAIN_S = 20.0
STOP_ORDER = ["edge", "worker", "dashboard", "records", "metrics", "broker"]
#: A phone that is to scan a code is waited for so long before the screen is drawn over it.
SCAN_S = 90.0


def run_demo(options: DemoOptions) -> int:
    """Runs to the end or to Ctrl-C; 0 only where captured = recorded + rejected, none lost or double."""
    configure_logging("warning")  # each program keeps its own log; the screen belongs to images
    console = Console()
    try:
        return asyncio.run(_run(options, console))
    except (
        OptionsError,
        NoImagesError,
        NoSuchBundleError,
        BundleRefusedError,
        MosquittoMissingError,
    ) as error:
        print(f"hemowire demo: {error}", file=sys.stderr)
        return 2
    except ProgramFailedError as error:
        print(f"hemowire demo: {error}", file=sys.stderr)
        return 1


async def _run(options: DemoOptions, console: Console) -> int:
    devices = [f"scope-{number}" for number in range(1, options.devices + 1)]
    house = prepare_house(options, devices)
    shares = (
        share_count(devices, options.count)
        if options.images is None
        else share_folder(options.images, devices, options.count, house.folder)
    )
    progress = Progress(boot_id())
    programs = Programs(house.folder)
    screen = Screen(console, progress, house, shares, plain=options.plain)
    with stop_on_signals() as stop:
        try:
            await programs.start_command("broker", *house.broker_command())
            async with _observers(house, progress, screen) as operator:
                screen.note("starting the records store and the worker")
                await programs.start("metrics", "metrics", "--config", str(house.metrics()))
                await programs.start("records", "records", "--config", str(house.records()))
                await programs.start("worker", "worker", "--config", str(house.worker()))
                if options.page:
                    page = await open_page(programs, house)
                    if house.lan is not None:
                        console.print(
                            phone_words(house, page), highlight=False, markup=False, soft_wrap=True
                        )
                        if screen.covers_all:
                            await _first_of(stop, programs, _somebody_came(house))
                    screen.tell_page(page.words)
                screen.start()
                drawing = asyncio.create_task(screen.run())
                await _first_of(stop, programs, _worker_online(progress), WORKER_START_S)
                status = worker_status(progress)
                rate = rate_per_device(
                    options,
                    house.bundle.card.preprocessing,
                    None if status is None else status.images_per_s,
                    len(shares),
                )
                for share in shares if not stop.is_set() else ():
                    await _start_edge(programs, house, share, rate, options)
                await _first_of(stop, programs, _edges_done(programs, options))
                if stop.is_set():
                    screen.note("stopping: the cameras rest, what was captured is being recorded")
                    await _drain(operator, progress, programs)
                if options.picture is not None:
                    screen.save_picture(options.picture)
                await programs.stop_all(STOP_ORDER[:-1])
                drawing.cancel()
        finally:
            screen.stop()
            await programs.stop_all(STOP_ORDER)
    started = [share for share in shares if house.outbox(share.device).is_dir()]
    complete = options.exit and not stop.is_set()
    files = _device_files(started if stop.is_set() else shares, house, complete=complete)
    verdict = check(files, house.archive, house.records_url)
    print_verdict(console, verdict, progress, house, programs.restarts)
    if options.json_file is not None:
        result = result_json(verdict, progress, progress.recorded_per_s())
        options.json_file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 0 if verdict.is_clean and verdict.captured > 0 else 1


@asynccontextmanager
async def _observers(house: House, progress: Progress, screen: Screen) -> AsyncIterator[Observer]:
    """Three listening accounts; yields the operator's, which may also command."""
    tasks = []
    observers = []
    for username, kinds in (
        (ENGINEER, ENGINEER_KINDS),
        (HEMATOLOGIST, HEMATOLOGIST_KINDS),
        (OPERATOR, OPERATOR_KINDS),
    ):
        observer = Observer(house.settings_of(username), house.topics, kinds, progress, screen.news)
        observers.append(observer)
        tasks += [asyncio.create_task(observer.run()), asyncio.create_task(observer.listen())]
    try:
        yield observers[-1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _somebody_came(house: House) -> asyncio.Task[None]:
    async def wait() -> None:
        await somebody_came(house, SCAN_S)

    return asyncio.create_task(wait())


async def _start_edge(
    programs: Programs, house: House, share: Share, rate: float | None, options: DemoOptions
) -> None:
    arguments = ["--config", str(house.edge(share, rate))]
    if options.exit:
        arguments.append("--exit-when-done")
    await programs.start(f"edge-{share.device}", "edge", *arguments)


async def _first_of(
    stop: asyncio.Event,
    programs: Programs,
    goal: asyncio.Task[None],
    timeout_s: float | None = None,
) -> None:
    """Waits for the goal or Ctrl-C; raises what a program died of, or TimeoutError."""
    stopping = asyncio.create_task(stop.wait())
    waiting: set[asyncio.Future[Any]] = {goal, stopping, programs.failed}
    done, _ = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in (goal, stopping):
        task.cancel()
    if programs.failed.done():
        programs.failed.result()
    if not done and timeout_s is not None:
        raise programs.late("worker", timeout_s)


def _worker_online(progress: Progress) -> asyncio.Task[None]:
    return asyncio.create_task(_until(lambda: worker_status(progress) is not None))


def _edges_done(programs: Programs, options: DemoOptions) -> asyncio.Task[None]:
    def finished() -> bool:
        edges = [p for name, p in programs.programs.items() if name.startswith("edge")]
        return options.exit and all(edge.finished for edge in edges)

    return asyncio.create_task(_until(finished))


async def _drain(operator: Observer, progress: Progress, programs: Programs) -> None:
    """Pauses the cameras and returns when every device has said since that its outbox owes nothing."""
    running = {n.removeprefix("edge-") for n in programs.programs if n.startswith("edge-")}
    for device in running:
        operator.command(SITE, device, "pause")
    progress.health.clear()

    def empty() -> bool:
        said = progress.health
        return all(d in said and said[d].oldest_unrecorded_seq is None for d in running)

    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while not empty():
                for device in running:
                    operator.command(SITE, device, "report")
                await asyncio.sleep(0.5)


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - Progress is pure, it has no events to wait for
        await asyncio.sleep(0.05)


def worker_status(progress: Progress) -> Status | None:
    """The status of a worker that is online."""
    for status in progress.statuses.values():
        if status.program == "worker" and status.state is Presence.ONLINE:
            return status
    return None


def _device_files(shares: list[Share], house: House, *, complete: bool) -> list[DeviceFiles]:
    """A camera that was stopped by hand did not get to all its images: only a whole run is held to
    its list of files, or to its number of simulated fields."""
    return [
        DeviceFiles(
            share.device,
            house.outbox(share.device),
            [str(file) for file in share.files] if complete and share.folder is not None else None,
            share.count if complete and share.folder is None else None,
        )
        for share in shares
    ]
