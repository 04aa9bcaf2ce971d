"""The set-up scripts: they parse, refuse what they do not know, and call what they promise."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", ["scripts/setup", ".ci/run"])
def test_scripts_parse_and_are_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert run("bash", "-n", script).returncode == 0


def test_setup_refuses_an_unknown_purpose() -> None:
    done = run("scripts/setup", "breakfast")
    assert done.returncode == 1
    assert "usage: scripts/setup demo|test" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_demo_passes_its_arguments_to_the_demo() -> None:
    done = run("make", "-n", "demo", "ARGS=--count 40 --exit")
    assert "scripts/setup demo" in done.stdout
    assert ".venv/bin/hemowire demo --count 40 --exit" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_test_runs_linters_types_import_rules_and_tests() -> None:
    done = run("make", "-n", "test")
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert f".venv/bin/{tool}" in done.stdout


@pytest.mark.parametrize("status", [0, 2])
def test_ci_calls_make_test_with_the_real_data_and_passes_its_status_on(
    tmp_path: Path, status: int
) -> None:
    here = tmp_path / "main"
    (here / ".ci").mkdir(parents=True)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", here / ".ci" / "run")
    fake = tmp_path / "bin" / "make"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "make $* $HEMOWIRE_REAL_DATA"\nexit {status}\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    done = run(".ci/run", cwd=here, PATH=path)
    assert done.stdout == f"make test {tmp_path}/shared/data\n"
    assert done.returncode == status
