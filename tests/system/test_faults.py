"""kill -9 of every program while images are on their way changes nothing but the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.demo_run import DemoRun, demo, needs_real_data, real_images

pytestmark = pytest.mark.timeout(420)


def kill_and_see_it_return(run: DemoRun, program: str) -> None:
    """kill -9, then waits until the supervisor has started it again."""
    pid = run.pid(program)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    run.wait_until(lambda: run.pid(program) not in (None, pid), 30, f"{program} started again")


def run_with_kills(run: DemoRun, count: int) -> None:
    """Kills each program once, each after some more images were recorded, then waits for the end."""
    victims = ["worker", "broker", "records", "edge-scope-1"]
    for number, program in enumerate(victims):
        goal = max(1, (number + 1) * count // (len(victims) + 3))
        run.wait_until(lambda goal=goal: run.recorded() >= goal, 150, f"{goal} records")  # type: ignore[misc]
        kill_and_see_it_return(run, program)
    assert run.finish(240) == 0, run.output()


def check_nothing_was_lost(run: DemoRun, count: int) -> None:
    found = run.account()
    assert (found.lost, found.duplicates) == ([], []), run.output()
    assert found.captured == count
    assert found.diagnosed + found.rejected == count
    assert run.result()["recorded"] == found.diagnosed
    reconcile = subprocess.run(
        [sys.executable, "-m", "hemowire", "records", "reconcile",
         "--config", str(run.folder / "records.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert reconcile.returncode == 0, reconcile.stdout + reconcile.stderr


def test_killing_every_program_loses_no_simulated_image(tmp_path: Path) -> None:
    count = 24
    with demo(tmp_path, "--devices", "2", "--count", str(count), "--rate", "3", "--exit") as run:
        run_with_kills(run, count)
    check_nothing_was_lost(run, count)


@needs_real_data
def test_killing_every_program_loses_no_real_field(tmp_path: Path) -> None:
    images = ("--images", str(real_images("chula_fields")))
    arguments = ("--count", "40", "--devices", "4", "--rate", "4", "--exit")
    with demo(tmp_path, *images, *arguments) as run:
        run_with_kills(run, 40)
    check_nothing_was_lost(run, 40)
    assert run.account().rejected <= 2
