"""The main job as a newcomer runs it: real programs, the real broker, real images where there are any."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.dashboard.metrics.line_protocol import read_file
from tests.system.demo_run import demo, needs_real_data, real_images

pytestmark = pytest.mark.timeout(240)


def test_simulated_microscopes_end_with_every_image_recorded(tmp_path: Path) -> None:
    with demo(tmp_path, "--devices", "2", "--count", "10", "--rate", "max", "--exit") as run:
        assert run.finish(150) == 0, run.output()
    result, found = run.result(), run.account()
    assert found.lost == [] and found.duplicates == []
    assert found.captured == result["captured"] == 10
    assert found.diagnosed == result["recorded"]
    assert found.rejected == result["rejected"]
    assert found.diagnosed >= 9, found.reasons
    assert {"decoded", "inferred", "published", "recorded", "shown"} <= set(result["stages"])
    text = run.log.read_text()
    assert "Research use only" in text
    assert "Synthetic-trained" in text
    files = sorted((run.folder / "metrics").glob("points-*.lp"))
    points = [point for file in files for point in read_file(file.read_bytes())]
    assert f"metrics: {len(points)} points as line protocol" in text
    ways = [p.fields for p in points if p.measurement == "hemowire_image"]
    assert sum("scheduled_to_recorded_ms" in fields for fields in ways) >= found.diagnosed
    assert {"hemowire_stage", "hemowire_device", "hemowire_worker", "hemowire_metrics"} <= {
        point.measurement for point in points
    }


def test_ctrl_c_ends_the_demo_in_order_and_loses_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, "--devices", "2", "--rate", "4") as run:
        run.wait_until(lambda: run.recorded() >= 3, 120, "three records")
        run.process.send_signal(signal.SIGINT)
        assert run.finish(60) == 0, run.output()
    found = run.account()
    assert found.lost == [] and found.duplicates == []
    assert found.captured == found.diagnosed + found.rejected >= 3


@needs_real_data
def test_forty_real_fields_from_four_microscopes_are_recorded_and_none_is_called_leukemia(
    tmp_path: Path,
) -> None:
    images = real_images("chula_fields")
    arguments = ("--images", str(images), "--count", "40", "--devices", "4", "--exit")
    with demo(tmp_path, *arguments, "--rate", "max") as run:
        assert run.finish(200) == 0, run.output()
    found = run.account()
    assert (found.lost, found.duplicates) == ([], [])
    assert found.sources == found.captured == 40
    assert found.rejected <= 2, found.reasons
    assert found.results["cannot_say"] >= 38, found.results
    assert not any("suspected" in d["urgency"] for d in run.result()["diagnoses"])
    reconcile = subprocess.run(
        [sys.executable, "-m", "hemowire", "records", "reconcile", "--json",
         "--config", str(run.folder / "records.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert reconcile.returncode == 0, reconcile.stdout + reconcile.stderr


@needs_real_data
@pytest.mark.parametrize(
    "um_per_px", ["estimate", *(pytest.param(x, marks=pytest.mark.slow) for x in ("0.2", "0.3"))]
)
def test_real_fields_are_not_judged_whatever_scale_is_claimed(
    um_per_px: str, tmp_path: Path
) -> None:
    """About 0.1 um per pixel is true; at the other two the network sees every field."""
    images = real_images("chula_fields")
    arguments = ("--images", str(images), "--um-per-px", um_per_px, "--exit")
    with demo(tmp_path, *arguments, "--rate", "max") as run:
        assert run.finish(200) == 0, run.output()
    found = run.account()
    assert found.captured == 40
    assert found.rejected <= 2
    assert found.results["cannot_say"] >= 38, found.results
    assert not any("suspected" in d["urgency"] for d in run.result()["diagnoses"])


@needs_real_data
def test_ctrl_c_in_a_counted_run_calls_nothing_lost(tmp_path: Path) -> None:
    images = ("--images", str(real_images("chula_fields")))
    with demo(tmp_path, *images, "--count", "400", "--rate", "5", "--exit") as run:
        run.wait_until(lambda: run.recorded() >= 3, 120, "three records")
        run.process.send_signal(signal.SIGINT)
        assert run.finish(60) == 0, run.output()
    assert 3 <= run.result()["captured"] < 400
    assert run.result()["lost"] == 0


def test_classify_and_the_pipeline_give_equal_answers(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    rendered = subprocess.run(
        [sys.executable, "-m", "hemowire", "simulate", "--class", "AML", "--slides", "2",
         "--fields", "2", "--out", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rendered.returncode == 0, rendered.stderr
    scale = ("--um-per-px", "0.2")
    with demo(tmp_path, "--images", str(folder), *scale, "--rate", "max", "--exit") as run:
        assert run.finish(150) == 0, run.output()
    diagnoses = {d["source"]: d for d in run.result()["diagnoses"]}
    assert len(diagnoses) >= 3
    files = sorted(p for p in folder.rglob("*.jpg") if str(p.resolve()) in diagnoses)
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "classify", *map(str, files), *scale, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for answer in json.loads(done.stdout):
        other = diagnoses[str(Path(answer["source"]).resolve())]
        for key in ("result", "reason", "urgency"):
            assert answer[key] == other[key]
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=0.02)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not here")
def test_a_killed_demo_leaves_no_program_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--rate", "2") as run:
        run.wait_until(lambda: run.recorded() >= 1, 120, "a record")
        pids = [run.pid(name) for name in run.programs()]
        run.process.kill()
        run.process.wait()
    deadline = time.monotonic() + 30
    while left := [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
