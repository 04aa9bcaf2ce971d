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

class OwnError(Exception):
    pass

class BrokenError(OwnError):
    exit_code = 1

async def wait(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    {after}

async def main(stop):
    {start}
    async with asyncio.TaskGroup() as group:
        group.create_task(wait(stop), name="wait")

sys.exit(run_program(main, name="hemowire test", known=(OwnError,)))
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
    ("raised", "code", "said"),
    [
        (
            "SettingsError([Problem('edge.toml:3', 'port', 'must be given')])",
            2,
            "settings: 1 problem\n  edge.toml:3: port: must be given",
        ),
        ("TakenOverError('a second client')", 3, "a second client"),
        (
            "ExceptionGroup('', [ExceptionGroup('', [TakenOverError('a second client')])])",
            3,
            "a second client",
        ),
        ("OwnError('no archive')", 2, "no archive"),
        ("BrokenError('the engine')", 1, "the engine"),
        (
            "ExceptionGroup('', [OwnError('no archive'), TakenOverError('a second client')])",
            3,
            "no archive\nhemowire test: a second client",
        ),
    ],
)
def test_known_errors_are_said_once_and_become_exit_codes(
    raised: str, code: int, said: str
) -> None:
    with start(begin=f"raise {raised}") as program:
        _, errors = program.communicate(timeout=10)
        assert (program.returncode, errors) == (code, f"hemowire test: {said}\n")


@pytest.mark.parametrize(
    "raised", ["KeyError('a bug')", "ExceptionGroup('', [OwnError('x'), KeyError('a bug')])"]
)
def test_bugs_stay_bugs(raised: str) -> None:
    with start(begin=f"raise {raised}") as program:
        _, errors = program.communicate(timeout=10)
        assert program.returncode == 1
        assert "Traceback" in errors
