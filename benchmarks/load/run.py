"""`hemowire bench` on one page: the machine, the images, repetitions, the sweep, the document, what it means."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import statistics
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from benchmarks.links.opening import LinkUnavailableError
from benchmarks.load.engine_alone import with_a_rate
from benchmarks.load.house import ProgramEndedError
from benchmarks.load.limits import physical_limits
from benchmarks.load.machine import describe_machine
from benchmarks.load.pictures import make_pictures
from benchmarks.load.repetition import run_repetition
from benchmarks.load.result import Document, write_result
from benchmarks.load.scenario import Scenario, load_scenario
from benchmarks.load.screen import Screen, ScreenPart
from benchmarks.load.site import StartError
from benchmarks.load.summary import print_summary
from benchmarks.load.sweep import run_sweep
from benchmarks.load.together import put_together
from benchmarks.load.verdict import judge
from benchmarks.report import write_report
from broker_config.locate import MosquittoMissingError
from cloud_worker.models.bundle import BundleRefusedError, NoSuchBundleError
from service_runtime.boot import wall_time
from service_runtime.log import configure_logging

_WRONG = (NoSuchBundleError, BundleRefusedError, MosquittoMissingError, LinkUnavailableError)
_FAILED = (StartError, ProgramEndedError)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options of `hemowire bench`."""

    scenario: Path
    json_file: Path | None
    html_file: Path | None
    repetitions: int | None = None


def run_bench(options: BenchOptions) -> int:
    """Runs the scenario; 0 where nothing was lost and every target holds, 1 where not, 2 for a
    scenario or machine that cannot run. Raises SettingsError for a wrong scenario file."""
    scenario = load_scenario(options.scenario)
    if options.repetitions is not None:
        scenario = scenario.model_copy(update={"repetitions": options.repetitions})
    configure_logging("error")  # each program keeps its own log; the screen belongs to the bench
    console = Console()
    try:
        document = asyncio.run(measure_scenario(scenario, console))
    except _WRONG as error:
        print(f"hemowire bench: {error}", file=sys.stderr)
        return 2
    except _FAILED as error:
        print(f"hemowire bench: {error}", file=sys.stderr)
        return 1
    if options.json_file is not None:
        write_result(document, options.json_file)
    if options.html_file is not None:
        write_report(document, options.html_file)
    print_summary(document, console)
    for file in (options.json_file, options.html_file):
        if file is not None:
            console.print(f"written: {file}", highlight=False, soft_wrap=True)
    return 0 if document.passed else 1


async def measure_scenario(scenario: Scenario, console: Console) -> Document:
    """Everything that the scenario asks for; raises what a missing or failing program raises."""
    began_s, started = time.monotonic(), wall_time()
    machine = describe_machine()
    with Screen(console, _parts(scenario)) as screen:
        screen.begin()
        screen.tell(f"rendering {scenario.images.distinct} fields", 0, 0)
        pictures = await asyncio.to_thread(make_pictures, scenario.images, scenario.seed)
        asked, scenario = scenario, await with_a_rate(scenario, pictures[0], screen.tell)
        done = []
        for number in range(1, scenario.repetitions + 1):
            screen.begin()
            done.append(await run_repetition(scenario, number, pictures, screen.tell))
        sweep = None
        if scenario.sweep is not None:
            screen.begin()
            sweep = await run_sweep(scenario, pictures, screen.tell)
    repetitions = tuple(one.repetition for one in done)
    mean_bytes = statistics.fmean(len(picture.numbered(0)) for picture in pictures)
    limits = physical_limits(scenario, mean_bytes, repetitions[0].engine)
    return Document(
        hemowire=_version(),
        started=started,
        duration_s=time.monotonic() - began_s,
        command=shlex.join(["hemowire", *sys.argv[1:]]),
        machine=machine,
        scenario=scenario,
        scenario_digest=scenario_digest(asked),
        links=done[0].links,
        together=put_together([repetition.hemowire for repetition in repetitions]),
        baselines_together=tuple(
            put_together(same)
            for same in zip(*(repetition.baselines for repetition in repetitions), strict=True)
        ),
        repetitions=repetitions,
        sweep=sweep,
        limits=limits,
        verdicts=judge(scenario.targets, repetitions, limits, sweep),
    )


def _parts(scenario: Scenario) -> list[ScreenPart]:
    """What will be done, and about how long each takes."""
    load_s = scenario.phases.load_s
    start_s = 7 + 0.3 * scenario.devices.count
    repetition_s = start_s + load_s + len(scenario.baselines) * (5 + load_s) + 4
    name = scenario.name
    parts = [ScreenPart(f"{name}: images", 0.5 * scenario.images.distinct)]
    parts += [
        ScreenPart(f"{name}: repetition {number} of {scenario.repetitions}", repetition_s)
        for number in range(1, scenario.repetitions + 1)
    ]
    if scenario.sweep is not None:
        point_s = scenario.sweep.measured_s + 4
        sweep_s = start_s + point_s * len(scenario.sweep.rates_per_s)
        parts.append(ScreenPart(f"{name}: sweep of rates", sweep_s))
    return parts


def scenario_digest(scenario: Scenario) -> str:
    """Equal for two runs that asked the same question, however often."""
    asked = scenario.model_dump_json(exclude={"repetitions", "targets", "title", "question"})
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _version() -> str:
    try:
        return version("hemowire")
    except PackageNotFoundError:
        return "unknown"
