"""The quick scenario with the real programs, start to end; a program that dies is an error and no figure."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.load.arrival_settings import FixedArrivals
from benchmarks.load.house import ProgramEndedError
from benchmarks.load.measure_names import SPANS
from benchmarks.load.pictures import make_pictures
from benchmarks.load.repetition import run_repetition
from benchmarks.load.result import read_result
from benchmarks.load.scenario import Scenario, load_scenario
from wire_protocol.trace import STAGES, Stage

_ROOT = Path(__file__).resolve().parents[2]
_QUICK = _ROOT / "benchmarks" / "scenarios" / "quick.toml"


@pytest.mark.timeout(150)  # half a minute on an idle machine
def test_the_quick_scenario_measures_the_real_programs_and_counts_every_image(
    tmp_path: Path,
) -> None:
    out, page = tmp_path / "quick.json", tmp_path / "quick.html"
    arguments = [str(_QUICK), "--json", str(out), "--html", str(page)]
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "bench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert out.exists(), done.stderr
    document = read_result(out)
    (repetition,) = document.repetitions
    assert repetition.counts.is_clean, repetition.counts
    assert repetition.counts.measured_offered == repetition.counts.measured_completed > 5
    assert repetition.counts.offered > repetition.counts.measured_offered

    own = repetition.hemowire
    stages = {latency.name: latency for latency in own.stages}
    # An image of 22 KB rides in its offer: nothing is claimed.
    skipped = {Stage.SCHEDULED, Stage.CLAIMED}
    assert set(stages) == {stage.value for stage in STAGES if stage not in skipped}
    assert {latency.name for latency in own.totals} > set(SPANS)
    assert all(one.count == own.completed for one in (*own.totals, *own.stages))
    whole = next(one for one in own.totals if one.name == "scheduled_to_published")
    assert stages["inferred"].p50_ms < whole.p50_ms < whole.max_ms

    programs = {process.program: process for process in own.processes}
    assert set(programs) == {"broker", "records", "worker", "edge", "watch", "bench"}
    assert programs["worker"].cpu_s > programs["edge"].cpu_s > 0
    if shutil.which("ss"):
        assert (programs["edge"].sent_bytes or 0) > own.completed * 20_000
        assert (programs["worker"].received_bytes or 0) > own.completed * 20_000
    assert own.broker is not None
    assert own.broker.bytes_received > own.completed * 20_000
    assert own.broker.publish_dropped == 0

    (single,) = repetition.baselines
    assert (single.path, single.offered, single.lost) == ("single", own.offered, 0)
    assert done.returncode == (0 if document.passed else 1)
    assert "Research use only" in done.stdout
    assert "Research use only" in page.read_text()
    assert document.scenario.title in page.read_text()
    assert "where the milliseconds go" in done.stdout


@pytest.mark.timeout(120)
def test_a_worker_that_dies_ends_the_run_with_its_name_and_log() -> None:
    scenario = load_scenario(_QUICK).model_copy(update={"baselines": ()})

    def tell(what: str, _done: float, _whole: float) -> None:
        if what.startswith("load:"):
            for process in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):  # a zombie is one, too
                    if "worker" in process.cmdline():
                        process.send_signal(signal.SIGKILL)

    async def run(scenario: Scenario) -> None:
        await run_repetition(scenario, 1, make_pictures(scenario.images, 1), tell)

    with pytest.raises(ProgramEndedError, match="worker-1 ended with exit code -9"):
        asyncio.run(run(scenario))


def test_a_wrong_scenario_file_ends_with_2_and_its_field(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(_QUICK.read_text().replace("measured_s = 5.0", "measured_s = -5.0"))
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "bench", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "measured_s" in done.stderr
    assert "greater than 0" in done.stderr


@pytest.mark.timeout(120)
def test_a_device_that_stalls_shows_in_the_latency_of_every_image_it_should_have_taken() -> None:
    """Coordinated omission: the agent is stopped for a while, its captures come late and few are slow
    by their own account."""
    stall_s = 1.5
    quick = load_scenario(_QUICK)
    images = quick.images.model_copy(update={"classified": False})
    arrivals = FixedArrivals(kind="fixed", rate_per_s=20.0)
    scenario = quick.model_copy(update={"baselines": (), "images": images, "arrivals": arrivals})
    stopped: list[psutil.Process] = []
    went_on: list[threading.Timer] = []

    def tell(what: str, done: float, _whole: float) -> None:
        if what.startswith("load:") and done > 3.0 and not stopped:
            stopped.extend(p for p in psutil.Process().children() if "edge" in p.cmdline())
            for process in stopped:
                process.send_signal(signal.SIGSTOP)
                went_on.append(threading.Timer(stall_s, process.send_signal, [signal.SIGCONT]))
                went_on[-1].start()

    pictures = make_pictures(scenario.images, 1)
    done = asyncio.run(run_repetition(scenario, 1, pictures, tell))
    assert len(stopped) == 1
    totals = {latency.name: latency for latency in done.repetition.hemowire.totals}
    scheduled, captured = totals["scheduled_to_published"], totals["captured_to_published"]
    assert done.repetition.counts.is_clean
    assert scheduled.max_ms > stall_s * 1000 * 0.8
    # 30 of the 100 measured images were due in the stall, on average half of it late.
    assert scheduled.p90_ms > stall_s * 1000 * 0.3
    assert captured.p90_ms < scheduled.p90_ms / 2
