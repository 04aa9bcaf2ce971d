"""A short, seeded chaos run through the real programs; and the same judge over a run that was tampered with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEED = 64300
IMAGES = 40
FAULTS = 11

pytestmark = pytest.mark.timeout(300)


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hemowire", "chaos", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_faults_lose_double_and_alter_nothing_and_the_judge_would_have_seen_it(
    tmp_path: Path,
) -> None:
    folder, verdict = tmp_path / "run", tmp_path / "verdict.json"
    done = chaos(
        "--seed", str(SEED), "--images", str(IMAGES), "--faults", str(FAULTS), "--brisk",
        "--every", "1.6", "--longest", "5",
        "--folder", str(folder), "--json", str(verdict),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is lost." in done.stdout
    found = json.loads(verdict.read_text())
    assert (found["captured"], found["faults"], found["problems"]) == (IMAGES, FAULTS, [])
    assert found["diagnosed"] + found["rejected"] == IMAGES
    assert found["rejected"] >= 3  # two decks of pictures: the broken ones and the blurred

    history = folder / "history.jsonl"
    assert chaos("--check", str(history)).returncode == 0
    lines = history.read_text().splitlines()
    for at, line in enumerate(lines):
        event = json.loads(line)
        if event["event"] == "read records":
            del event["images"][IMAGES // 2]
            lines[at] = json.dumps(event)
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_text("\n".join(lines) + "\n")
    judged = chaos("--check", str(tampered))
    assert judged.returncode == 1
    assert "lost 1" in judged.stdout
