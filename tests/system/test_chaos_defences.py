"""A defence is taken out of the real programs, and a chaos run finds out: what would break the promise is noticed.

The programs run as they are but for a `sitecustomize` that replaces one function of theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hemowire.chaos.schedule import FaultKind
from tests.system.chaos_mutants import FIRST_LINES, MUTANTS, PACE, Mutant, seed_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: So many images, that the longest plan has some left at its end.
IMAGES = 16


def chaos(tmp_path: Path, mutant: Mutant, **environment: str) -> tuple[int, set[str]]:
    """A run of its faults: the exit code, and what the judge found wrong."""
    verdict = tmp_path / "verdict.json"
    only = [f"--only={kind.name.lower().replace('_', '-')}" for kind in mutant.kinds]
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "chaos", "--brisk", "--no-loss",
         "--seed", str(seed_for(mutant)), "--images", str(IMAGES), "--faults", str(mutant.faults),
         "--every", str(PACE.every_s), "--longest", str(PACE.longest_s), "--settle", "30", *only,
         "--folder", str(tmp_path / "run"), "--json", str(verdict)],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert verdict.is_file(), done.stdout + done.stderr
    return done.returncode, {
        found["wrong"] for found in json.loads(verdict.read_text())["problems"]
    }


def without(tmp_path: Path, mutant: Mutant) -> tuple[int, set[str]]:
    """The same with its defences taken out."""
    lines = ["import sys"]
    for program, change in mutant.changes.items():
        lines.append(f"if {program!r} in sys.orig_argv:")
        lines += [f"    {line}" for line in change.strip().splitlines()]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return chaos(tmp_path, mutant, PYTHONPATH=str(tmp_path))


@pytest.mark.parametrize("kinds", sorted({mutant.kinds for mutant in MUTANTS.values()}))
def test_the_same_run_with_all_defences_is_clean(
    kinds: tuple[FaultKind, ...], tmp_path: Path
) -> None:
    assert chaos(tmp_path, Mutant({}, kinds, "")) == (0, set())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_run_without_a_defence_is_found_out(name: str, tmp_path: Path) -> None:
    code, wrong = without(tmp_path, MUTANTS[name])
    assert code == 1
    assert MUTANTS[name].wrong in wrong


@pytest.mark.parametrize("name", FIRST_LINES)
def test_where_there_is_a_second_line_the_first_may_fall(name: str, tmp_path: Path) -> None:
    assert without(tmp_path, FIRST_LINES[name]) == (0, set())
