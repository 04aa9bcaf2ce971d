"""A defence is taken out of the real programs, and a chaos run finds out: what would break the promise is noticed.

The programs run as they are but for a `sitecustomize` that replaces one function of theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Mutant:
    """What is taken out of which program, the faults that need it, and what the judge must say."""

    program: str
    change: str
    faults: tuple[str, ...]
    wrong: str


MUTANTS = {
    "the archive keeps half of the bytes": Mutant(
        "worker",
        "from cloud_worker import archive\n"
        "write = archive.Archive._write\n"
        "def half(self, key, data):\n"
        "    write(self, key, data[: len(data) // 2] if key.startswith('blobs/') else data)\n"
        "archive.Archive._write = half\n",
        ("kill",),
        "altered",
    ),
    "the outbox forgets which files it has taken": Mutant(
        "edge",
        "import os\n"
        "from edge_device.outbox import outbox, reading\n"
        "outbox.source_digest = reading.source_digest = lambda key: os.urandom(32)\n",
        ("twin", "same-outbox"),
        "doubled",
    ),
    "the agent does not ask a records store that came from a backup": Mutant(
        "edge",
        "from edge_device import agent\n"
        "async def ask_nobody(*what):\n"
        "    pass\n"
        "agent.ask_other_store = ask_nobody\n",
        ("backup",),
        "lost",
    ),
    "rejections lose their words": Mutant(
        "records",
        "from dashboard import outcomes\n"
        "from dataclasses import replace\n"
        "read = outcomes.read_outcomes\n"
        "outcomes.read_outcomes = lambda url: [replace(row, text='') for row in read(url)]\n",
        ("kill",),
        "silently rejected",
    ),
}


def chaos(tmp_path: Path, faults: tuple[str, ...], **environment: str) -> tuple[int, set[str]]:
    """A run of these faults: its exit code, and what the judge found wrong."""
    verdict = tmp_path / "verdict.json"
    only = [part for fault in faults for part in ("--only", fault)]
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "chaos", "--brisk", "--images", "16", "--faults", "3",
         "--every", "3", "--settle", "20", *only,
         "--folder", str(tmp_path / "run"), "--json", str(verdict)],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert verdict.is_file(), done.stdout + done.stderr
    return done.returncode, {
        found["wrong"] for found in json.loads(verdict.read_text())["problems"]
    }


@pytest.mark.parametrize("faults", sorted({mutant.faults for mutant in MUTANTS.values()}))
def test_the_same_run_with_all_defences_is_clean(faults: tuple[str, ...], tmp_path: Path) -> None:
    assert chaos(tmp_path, faults) == (0, set())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_run_without_a_defence_is_found_out(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nif {mutant.program!r} in sys.orig_argv:\n"
        + "".join(f"    {line}\n" for line in mutant.change.splitlines())
    )
    code, wrong = chaos(tmp_path, mutant.faults, PYTHONPATH=str(tmp_path))
    assert code == 1
    assert mutant.wrong in wrong
