"""Points on their way into the spool: stamps of their own over restarts, and a bounded number of series."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dashboard.metrics import schema
from dashboard.metrics.lines import Point
from dashboard.metrics.places import MOST_VALUES, OTHER
from dashboard.metrics.spool import Spool
from dashboard.metrics.spooling import Spooling
from tests.dashboard.metrics.line_protocol import Line, read_file

NOW_NS = 1_790_000_000_000_000_000


def waiting(device: str = "scope-1") -> Point:
    return Point(schema.DEVICE, {"site": "lab", "device": device}, {"images_waiting": 1})


def spooled(folder: Path) -> list[Line]:
    return [
        line for file in sorted(folder.glob("points-*.lp")) for line in read_file(file.read_bytes())
    ]


@pytest.mark.parametrize("step", ["us", "ms"])
def test_restarts_at_one_and_the_same_moment_repeat_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)
    for _ in range(5):
        spool = Spool(tmp_path, 1 << 20)
        spooling = Spooling(spool, step)
        for _ in range(10):
            spooling.put([waiting()])
        spool.close()
    lines = spooled(tmp_path)
    assert len({line.series for line in lines}) == len(lines) == 50


def test_reservations_that_cannot_be_read_are_said_so_and_the_program_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "time-stamps.json").write_text("[torn")
    spool = Spool(tmp_path, 1 << 20)
    with capture_logs() as logs:
        spooling = Spooling(spool, "us")
    spooling.put([waiting()])
    spool.close()
    assert [log["event"] for log in logs] == ["time_stamps_unreadable"]
    assert len(spooled(tmp_path)) == 1


def test_devices_without_number_make_a_bounded_number_of_series(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spooling = Spooling(spool, "us")
    for number in range(MOST_VALUES + 20):
        spooling.put([waiting(f"scope-{number}")])
    spool.close()
    lines = spooled(tmp_path)
    assert len({line.tags["device"] for line in lines}) == MOST_VALUES + 1
    assert sum(line.tags["device"] == OTHER for line in lines) == spooling.folded == 20
