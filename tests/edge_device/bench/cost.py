"""What the page costs an agent in memory and CPU time: `python -m tests.edge_device.bench.cost`; no camera is asked."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from edge_device.bench.settings import BenchSettings
from edge_device.bench.socket_file import SOCKET_NAME
from edge_device.settings import EdgeSettings
from tests.edge_device.bench.asking import Events, Place, ask
from tests.edge_device.bench.bench_for_tests import BenchForTests, served

IDLE_S, LOOKING_S, PREVIEW_S = 20.0, 10.0, 0.2


def resident_mb() -> float:
    """What the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def measure() -> None:
    """An idle server, then one page that looks."""
    bench = BenchForTests()
    loaded = f"with numpy {np.__version__}, OpenCV {cv2.__version__}, {EdgeSettings.__name__}"
    before_mb = resident_mb()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / SOCKET_NAME)
        async with served(bench, Path(folder), BenchSettings(port=0)):
            await ask(place, "/state")
            sys.stdout.write(f"memory: +{resident_mb() - before_mb:.1f} MB ({loaded})\n")
            began = time.process_time()
            await asyncio.sleep(IDLE_S)
            share = (time.process_time() - began) / IDLE_S
            sys.stdout.write(f"idle: {100 * share:.2f} % of a core\n")
            async with Events(place) as events:
                await events.next()
                began, end_s = time.process_time(), time.monotonic() + LOOKING_S

                async def look() -> None:
                    while time.monotonic() < end_s:
                        await ask(place, "/preview.jpg")
                        bench.changes.note()
                        await asyncio.sleep(PREVIEW_S)

                async def listen() -> None:
                    while time.monotonic() < end_s:
                        await events.next()

                await asyncio.gather(look(), listen())
                share = (time.process_time() - began) / LOOKING_S
            sys.stdout.write(
                f"one page: {100 * share:.2f} % of a core, the test's client included\n"
            )


if __name__ == "__main__":
    asyncio.run(measure())
