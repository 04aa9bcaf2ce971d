"""Points through influxdb-client into a real server and back: each of 50,000 once, with its own value."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.metrics import schema
from dashboard.metrics.draining import Draining
from dashboard.metrics.lines import Point
from dashboard.metrics.server import Away, InfluxServer, Server, Written
from dashboard.metrics.settings import InfluxSettings
from dashboard.metrics.spool import Spool
from dashboard.metrics.spooling import Spooling
from tests.dashboard.metrics.line_protocol import read_file
from tests.dashboard.metrics.victoria import Sample, VictoriaProcess, running_victoria
from wire_protocol.trace import STAGES

IMAGES = 2_500
STAGES_EACH = 20  # of two workers' worth of stages
POINTS = IMAGES * STAGES_EACH


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[VictoriaProcess]:
    yield from running_victoria(tmp_path)


def server_of(victoria: VictoriaProcess) -> InfluxServer:
    settings = InfluxSettings(url=victoria.url, timeout_s=5)
    return InfluxServer(settings, lambda: "hemowire_metrics write_errors=1i\n")


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


def written(spool_folder: Path) -> Counter[Sample]:
    """What the files hold, as the server should give it out, by a strict reader of ours."""
    found: Counter[Sample] = Counter()
    for file in sorted(spool_folder.glob("points-*.lp")):
        for line in read_file(file.read_bytes()):
            for name, value in line.fields.items():
                if isinstance(value, float):
                    metric = {"__name__": f"{line.measurement}_{name}"}
                    series = tuple(sorted((metric | line.tags).items()))
                    found[Sample(series, line.timestamp_ns // 1_000_000, value)] += 1
    return found


class Interrupted:
    """A server that is stopped, killed and cut off while batches are on their way to it."""

    def __init__(self, victoria: VictoriaProcess, server: InfluxServer) -> None:
        self.faults: list[str] = []
        self._victoria = victoria
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
                self._victoria.stop()
                self.faults.append("stopped")
            case 6:
                self._victoria.start()
            case 9:  # killed with a batch under way
                self._victoria.stop()  # what it answered for is on its disk: that is its promise
                self._victoria.start()
                killer = threading.Timer(0.004, self._victoria.kill)
                killer.start()
                outcome = self._server.write(lines)
                killer.join()
                self.faults.append("killed")
                return Away("killed") if isinstance(outcome, Written) else outcome
            case 11:
                self._victoria.start()
        return self._server.write(lines)


def test_fifty_thousand_points_arrive_once_each_though_the_server_is_stopped_killed_and_cut_off(
    victoria: VictoriaProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.metrics.draining.FIRST_PAUSE_S", 0.01)
    folder = tmp_path / "spool"
    spool = Spool(folder, 1 << 30)
    spooling = Spooling(spool, "ms")
    chance = random.Random(4)
    for _ in range(IMAGES):
        spooling.put(image(chance))
    expected = written(folder)
    assert (spool.counts.made, len(expected)) == (POINTS, 2 * POINTS), "no two overwrite each other"
    assert len({(sample.series, sample.at_ms) for sample in expected}) == len(expected)
    interrupted = Interrupted(victoria, server_of(victoria))
    drained(spool, interrupted)
    assert interrupted.faults == ["answer lost", "stopped", "killed"]
    assert (spool.counts.committed, spool.counts.dropped) == (POINTS, 0)
    assert Counter(victoria.export('{__name__=~"hemowire_stage_(duration|error)_ms"}')) == expected
    spool.close()


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


def test_a_file_of_the_spool_is_taken_as_it_is(victoria: VictoriaProcess, tmp_path: Path) -> None:
    """As `influx write --file` would send it, comments and all."""
    folder = tmp_path / "spool"
    spool = Spool(folder, 1 << 30)
    spooling = Spooling(spool, "ms")
    for _ in range(20):
        spooling.put(image(random.Random(5)))
    spool.close()
    [file] = folder.glob("points-*.lp")
    assert b"\n# 20 lines, crc32 " in file.read_bytes()
    assert server_of(victoria).write(file.read_bytes()) == Written()
    found = Counter(victoria.export('{__name__=~"hemowire_stage_(duration|error)_ms"}'))
    assert found == written(folder)
