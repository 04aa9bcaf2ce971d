"""Points of many images, and a server that is stopped, killed and cut off while they are sent to it."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Protocol

from dashboard.metrics import schema
from dashboard.metrics.draining import Draining
from dashboard.metrics.lines import Point
from dashboard.metrics.server import Away, InfluxServer, Server, Written
from dashboard.metrics.spool import Spool
from wire_protocol.trace import STAGES

IMAGES = 2_500
STAGES_EACH = 20  # of two workers' worth of stages
POINTS = IMAGES * STAGES_EACH
FAULTS = ["answer lost", "stopped", "killed"]


class Restartable(Protocol):
    """A real server of this test's own."""

    def start(self) -> None:
        """Returns once it answers."""

    def stop(self) -> None:
        """As an operator would."""

    def kill(self) -> None:
        """As a power cut would."""


def image(chance: random.Random) -> list[Point]:
    """What one image leaves: a point per stage, of one time stamp."""
    where = {"site": "lab", "device": f"scope-{chance.randrange(4)}"}
    image_id = f"{chance.getrandbits(128):032x}"
    points = []
    for number in range(STAGES_EACH):
        tags = {**where, "worker": f"w{number % 2}", "stage": STAGES[number // 2].value}
        # Whole nanoseconds, as stamps are; VictoriaMetrics keeps 12 digits of a value.
        values = {
            "duration_ms": chance.randrange(10**9) / 1e6,
            "error_ms": chance.randrange(10**6) / 1e6,
        }
        points.append(Point(schema.STAGE, tags, {**values, "image_id": image_id}))
    return points


class Interrupted:
    """A server that is stopped, killed and cut off while batches are on their way to it."""

    def __init__(self, process: Restartable, server: InfluxServer) -> None:
        self.faults: list[str] = []
        self._process = process
        self._server = server
        self._batch = 0

    def write(self, lines: bytes) -> Written | Away:
        self._batch += 1
        match self._batch:
            case 2:  # the server has the batch, and we never hear of it
                assert isinstance(self._server.write(lines), Written)
                self.faults.append("answer lost")
                return Away("the connection was cut before the answer came")
            case 4:
                self._process.stop()
                self.faults.append("stopped")
            case 6:
                self._process.start()
            case 9:  # killed with a batch under way
                self._process.stop()  # what it answered for is on its disk: that is its promise
                self._process.start()
                killer = threading.Timer(0.004, self._process.kill)
                killer.start()
                outcome = self._server.write(lines)
                killer.join()
                self.faults.append("killed")
                return Away("killed") if isinstance(outcome, Written) else outcome
            case 11:
                self._process.start()
        return self._server.write(lines)


def drained(spool: Spool, server: Server) -> None:
    """Sends until nothing waits."""

    async def main() -> None:
        draining = Draining(spool, server, batch_points=4000, flush_s=0.01)
        stop = asyncio.Event()
        running = asyncio.create_task(draining.run(stop))
        async with asyncio.timeout(40):
            while spool.waiting:  # noqa: ASYNC110  # the spool is pure of events
                await asyncio.sleep(0.01)
        stop.set()
        await running
        assert draining.refused == 0

    asyncio.run(main())
