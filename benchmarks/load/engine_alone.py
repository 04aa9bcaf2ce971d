"""The engine with nothing beside it, measured before and after a repetition: what a share of it is a share of.

    python -m benchmarks.load.engine_alone '{"engine": "auto"}'

A process of its own prints images a second at the batch size of the run, on noise; the worker's own
figure is of half a second, while other programs start.
"""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.load.arrival_settings import EngineShareArrivals
from benchmarks.load.engine import tiles_per_image
from benchmarks.load.pictures import Picture
from benchmarks.load.scenario import Scenario, WorkerSettings
from benchmarks.load.site import StartError, Tell
from cloud_worker.engines.engine import measure_images_per_s, open_engine
from cloud_worker.models.bundle import default_bundle, load_bundle

_FOR_S = 3.0


async def with_a_rate(scenario: Scenario, picture: Picture, tell: Tell) -> Scenario:
    """The scenario with a share of the engine turned into a rate; raises StartError."""
    if not isinstance(scenario.arrivals, EngineShareArrivals):
        return scenario
    tiles_per_s = await _measure_in_a_process(scenario, tell)
    tiles = tiles_per_image(scenario, picture)
    if tiles_per_s is None or tiles is None:
        raise StartError("the engine alone could not be measured: arrivals.share is a share of it")
    rate = round(scenario.arrivals.share * tiles_per_s / tiles, 2)
    arrivals = {"kind": "poisson", "rate_per_s": rate}
    return Scenario.model_validate({**scenario.model_dump(), "arrivals": arrivals})


async def measure_alone(scenario: Scenario, tell: Tell) -> float | None:
    """Tiles a second in a new process; None where the scenario asks for no share of it."""
    if not any(target.measure == "engine_share" for target in scenario.targets):
        return None
    return await _measure_in_a_process(scenario, tell)


async def _measure_in_a_process(scenario: Scenario, tell: Tell) -> float | None:
    tell("the engine alone", 0, 0)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load.engine_alone",
        scenario.worker.model_dump_json(),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return float(json.loads(said)["tiles_per_s"]) if process.returncode == 0 else None


def measure(wanted: WorkerSettings) -> float:
    """Tiles a second of this engine, for some seconds."""
    bundle = default_bundle() if wanted.bundle is None else load_bundle(wanted.bundle)
    engine = open_engine(
        bundle,
        wanted.engine,
        device=wanted.device,
        threads=wanted.threads,
        precision=wanted.precision,
    )
    return measure_images_per_s(engine, bundle, for_s=_FOR_S, batch_size=wanted.batch_size)


if __name__ == "__main__":
    tiles_per_s = measure(WorkerSettings.model_validate_json(sys.argv[1]))
    print(json.dumps({"tiles_per_s": tiles_per_s}))
