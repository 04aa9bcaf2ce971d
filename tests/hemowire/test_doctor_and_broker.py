"""`hemowire doctor` and `hemowire broker`, as their users run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker_config.serve import free_port
from hemowire.findings import USES, State, examine

ROOT = Path(__file__).parents[2]


def hemowire(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hemowire", *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_doctor_says_what_is_there_and_what_mends_the_rest() -> None:
    with hemowire("doctor", "--for", "broker") as program:
        output, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, "")
    assert "ok       mosquitto" in output
    assert output.endswith("Ready for broker.\n")


def test_doctor_fails_where_the_broker_is_missing() -> None:
    with hemowire("doctor", "--for", "broker", HEMOWIRE_MOSQUITTO="/nowhere") as program:
        output, _ = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "missing  mosquitto" in output
    assert "mend: " in output
    assert "1 missing for broker." in output


@pytest.mark.parametrize("use", ["edge", "records"])
def test_a_use_needs_only_its_own_extras(use: str) -> None:
    needed, _ = USES[use]
    for finding in examine(use):
        if finding.name.startswith("extra "):
            extra = finding.name.removeprefix("extra ")
            assert finding.state is not State.MISSING or extra in needed
        assert finding.state is State.OK or finding.found


def test_broker_runs_in_the_foreground_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("broker", "--folder", str(tmp_path / "b"), "--port", str(port))
    with hemowire(*arguments) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith(f"Mosquitto accepts on 127.0.0.1:{port}")
        program.send_signal(signal.SIGINT)
        rest = program.stdout.read()
        assert program.wait(30) == 0
    assert "edge-scope-1" in rest
    password = (tmp_path / "b" / "secrets" / "edge-scope-1").read_text().strip()
    assert password not in rest


def test_broker_lists_what_is_wrong_with_its_settings(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[listener]\nbind = "0.0.0.0"\nport = 0\n')
    with hemowire("broker", "--config", str(config)) as program:
        _, errors = program.communicate(timeout=30)
    assert program.returncode == 2
    assert f"{config}:3: listener.port" in errors
