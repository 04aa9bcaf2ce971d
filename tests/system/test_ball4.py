"""200 real B-ALL images through the pipeline, with a bundle that was really (if briefly) trained on others of them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.demo_run import demo, needs_real_data, real_images
from training.recipe import RECIPES

pytestmark = [pytest.mark.timeout(420), needs_real_data]

PER_CLASS = 40
SENT = 200


def groups() -> list[dict[str, str]]:
    """The set's own index: path, label, near-duplicate group."""
    with (real_images("ball4") / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ResNet-34, one epoch over the first images of each class: enough to carry answers."""
    root = tmp_path_factory.mktemp("ball4")
    rows = [
        row
        for label in ("Benign", "Early", "Pre", "Pro")
        for row in [r for r in groups() if r["label"] == label][:PER_CLASS]
    ]
    manifest = root / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "near_duplicate_group"])
        writer.writeheader()
        for row in rows:
            path = str(real_images("ball4") / row["path"])
            writer.writerow(
                {
                    "path": path,
                    "label": row["label"],
                    "near_duplicate_group": row["near_duplicate_group"],
                }
            )
    text = (RECIPES / "ball4.toml").read_text(encoding="utf-8")
    recipe = root / "small.toml"
    dense = 'architecture = "densenet121"\noutput_stride = 16\n'
    assert dense in text
    recipe.write_text(text.replace(dense, 'architecture = "resnet34"\n'))
    out = root / "ball4-resnet34"
    done = subprocess.run(
        [sys.executable, "-m", "hemowire", "train", "--recipe", str(recipe), "--data",
         str(manifest), "--out", str(out), "--epochs", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_two_hundred_images_end_recorded_with_the_bundle_trained_on_the_set(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    everyone = groups()
    for row in everyone[:: max(1, len(everyone) // SENT)][:SENT]:
        original = real_images("ball4") / row["path"]
        (folder / original.name).symlink_to(original)
    assert len(list(folder.iterdir())) == SENT
    arguments = ("--images", str(folder), "--devices", "2", "--um-per-px", "0.48", "--exit")
    with demo(tmp_path, *arguments, "--bundle", str(bundle), "--rate", "max") as run:
        assert run.finish(300) == 0, run.output()
    found = run.account()
    assert (found.lost, found.duplicates) == ([], [])
    assert found.sources == found.captured == SENT
    assert found.rejected <= 2, found.reasons
    diagnoses = run.result()["diagnoses"]
    assert len(diagnoses) == found.diagnosed
    judged = [d for d in diagnoses if d["reason"] not in ("out_of_distribution", "magnification")]
    assert len(judged) >= SENT // 2, found.reasons
    for diagnosis in judged:
        assert set(diagnosis["probabilities"]) == {"benign", "early", "pre", "pro"}
        assert sum(diagnosis["probabilities"].values()) == pytest.approx(1, abs=1e-3)
