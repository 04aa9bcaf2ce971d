"""Points through influxdb-client into a real server and back: each of 50,000 once, with its own value."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.metrics.server import InfluxServer, Written
from dashboard.metrics.settings import InfluxSettings
from dashboard.metrics.spool import Spool
from dashboard.metrics.spooling import Spooling
from tests.dashboard.metrics.interrupted import FAULTS, IMAGES, POINTS, Interrupted, drained, image
from tests.dashboard.metrics.line_protocol import read_file
from tests.dashboard.metrics.victoria import Sample, VictoriaProcess, running_victoria


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[VictoriaProcess]:
    yield from running_victoria(tmp_path)


def server_of(victoria: VictoriaProcess) -> InfluxServer:
    settings = InfluxSettings(url=victoria.url, timeout_s=5)
    return InfluxServer(settings, lambda: "hemowire_metrics write_errors=1i\n")


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
    assert interrupted.faults == FAULTS
    assert (spool.counts.committed, spool.counts.dropped) == (POINTS, 0)
    assert Counter(victoria.export('{__name__=~"hemowire_stage_(duration|error)_ms"}')) == expected
    spool.close()


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
