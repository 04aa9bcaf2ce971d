"""Signals and exit codes, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from service_runtime.program import run_program
from service_runtime.mqtt_types import TakenOverError
from service_runtime.settings import Problem, SettingsError

async def wait(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    {after}

async def main(stop):
    {start}
    async with asyncio.TaskGroup() as group:
        group.create_task(wait(stop), name="wait")

sys.exit(run_program(main))
"""


def start(*, begin: str = "pass", after: str = "pass") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(start=begin, after=after)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_the_program_to_stop_and_it_exits_0(number: signal.Signals) -> None:
    with start() as program:
        assert line(program) == "ready"
        program.send_signal(number)
        assert line(program) == "stopping"
        assert program.wait(10) == 0


def test_a_second_signal_forces_the_end() -> None:
    with start(after="await asyncio.sleep(3600)") as program:
        assert line(program) == "ready"
        program.send_signal(signal.SIGINT)
        assert line(program) == "stopping"
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 130


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("SettingsError([Problem('edge.toml:3', 'port', 'must be given')])", 2),
        ("TakenOverError('a second client')", 3),
        ("ExceptionGroup('', [ExceptionGroup('', [TakenOverError('a second client')])])", 3),
        ("KeyError('a bug')", 1),
    ],
)
def test_errors_become_exit_codes_and_bugs_stay_bugs(raised: str, code: int) -> None:
    with start(begin=f"raise {raised}") as program:
        _, errors = program.communicate(timeout=10)
        assert program.returncode == code
        assert ("Traceback" in errors) == (code == 1)
