"""A short, seeded chaos run through the real programs; and the same judge over a run that was tampered with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEED = 64300
IMAGES = 40
#: One of each: those that take long (a copied card, an image that kills decoders, a flashing) are in
#: longer runs.
KINDS = (
    "archive-away", "away", "backup", "clock", "cut", "disk-full", "forget",
    "freeze-at-step", "kill-at-step", "rot", "spoil",
)  # fmt: skip
FAULTS = len(KINDS)

pytestmark = pytest.mark.timeout(600)


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
        "--every", "1.5", "--longest", "5", *(f"--only={kind}" for kind in KINDS),
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


@pytest.mark.slow
def test_images_that_kill_decoders_are_rejected_and_copied_cards_are_told_of(
    tmp_path: Path,
) -> None:
    folder, verdict = tmp_path / "run", tmp_path / "verdict.json"
    done = chaos(
        "--seed", "3", "--images", "24", "--faults", "6", "--brisk", "--every", "4",
        "--only=clone", "--only=deadly", "--only=archive-away",
        "--folder", str(folder), "--json", str(verdict),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(verdict.read_text())
    assert found["problems"] == []
    assert found["set_aside"] > 0
    events = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    listed = next(e["images"] for e in events if e["event"] == "read by the operator")
    killers = [image for image in listed if image["reason"] == "crashes_decoder"]
    assert len(killers) == 2
    assert all("ended over this image" in image["text"] for image in killers)
