"""One tiny real training from data set to bundle, taken up again, evaluated and refused."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_worker.models.bundle import load_bundle
from edge_device.simulator import DiagnosisClass
from edge_device.simulator.dataset import FieldSettings, write_data_set
from hemowire.cli import main
from training.recipe import RECIPES

pytestmark = pytest.mark.timeout(300)
"""Training and export take 20 s on two free cores; other work may share them."""

SMALL = FieldSettings(width_px=160, height_px=120, um_per_px=0.45, white_cells=(3, 5), masks=True)
INPUT = "height_px = 96\nwidth_px = 128\num_per_px = 0.56"
STAGES = """
[[stages]]
name = "cells"
learns = "cell_types"
height_px = 32
width_px = 32
epochs = 1
batch = 16
learning_rate = 1e-3

[[stages]]
name = "fields"
learns = "classes"
height_px = 96
width_px = 128
epochs = 1
batch = 5
learning_rate = 1e-3
map_inside = 0.5
evidence_inside = 0.5
other_background = 0.5

[augmentation]
channel_gain = 0.05

[calibration]
ood_dims = 4
"""


@dataclass(frozen=True, slots=True)
class TinyTraining:
    """A trained bundle and what it was trained with: 30 simulated fields, two short stages."""

    data: Path
    recipe: Path
    bundle: Path

    @property
    def words(self) -> list[str]:
        return ["--recipe", str(self.recipe), "--data", str(self.data), "--out", str(self.bundle)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    root = tmp_path_factory.mktemp("training")
    write_data_set(root / "data", list(DiagnosisClass), slides=6, fields=1, seed=5, settings=SMALL)
    shipped = (RECIPES / "synthetic5-resnet34.toml").read_text(encoding="utf-8")
    text = shipped.partition("# First single")[0]
    for own, small in (
        ("height_px = 320\nwidth_px = 432\num_per_px = 0.3", INPUT),
        ("calibration = 0.15\ntest = 0.1", "calibration = 0.3\ntest = 0.3"),
    ):
        assert own in text
        text = text.replace(own, small)
    recipe = root / "tiny.toml"
    recipe.write_text(text + STAGES, encoding="utf-8")
    made = TinyTraining(root / "data", recipe, root / "bundle")
    assert main(["train", *made.words]) == 0
    return made


def test_training_writes_a_bundle_whose_card_says_what_it_learned_from(tiny: TinyTraining) -> None:
    card = load_bundle(tiny.bundle).card
    assert card.training_data_label == "synthetic"
    assert [kind.name for kind in card.classes] == ["ALL", "AML", "CLL", "CML", "healthy"]
    assert sum(part.images for part in card.training_data.splits.values()) == 30
    assert {"balanced_accuracy", "mean_rgb_balanced_accuracy"} <= {m.name for m in card.metrics}
    assert card.ood is not None
    assert card.thresholds.t_acute <= 0.5
    assert str(tiny.data) not in (tiny.bundle / "bundle.json").read_text()


def test_resuming_a_finished_training_gives_the_same_weights(tiny: TinyTraining) -> None:
    before = load_bundle(tiny.bundle)
    assert main(["train", *tiny.words, "--resume"]) == 0
    assert load_bundle(tiny.bundle).card.files == before.card.files


def test_resuming_with_another_recipe_is_refused(
    tiny: TinyTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(tiny.recipe.read_text().replace("batch = 16", "batch = 8"))
    words = ["--recipe", str(changed), *tiny.words[2:], "--resume"]
    assert main(["train", *words]) == 2
    assert "another recipe (stages)" in capsys.readouterr().err


def test_the_test_part_is_evaluated_and_its_training_part_refused(
    tiny: TinyTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--bundle", str(tiny.bundle), "--data", str(tiny.data)]
    report = tmp_path / "report.json"
    assert main([*words, "--part", "test", "--engine", "openvino", "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    card = load_bundle(tiny.bundle).card
    assert result["images"] == card.training_data.splits["test"].images
    assert "Research use only" in result["note"]
    assert sum(map(sum, result["confusion"])) == result["images"]
    assert sum(result["results"].values()) == result["images"]
    assert main(words) == 2
    assert "training images: use --part test" in capsys.readouterr().err


def test_a_single_training_image_among_unseen_ones_is_refused(
    tiny: TinyTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.data import read_data_set
    from training.split import split_by_group

    names = [kind.value for kind in DiagnosisClass]
    parts = split_by_group(read_data_set(tiny.data, names), calibration=0.3, test=0.3, seed=1)
    manifest = tmp_path / "part.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "um_per_px"))
        writer.writerows(
            (s.path, s.label, s.group, s.um_per_px) for s in (*parts.test, parts.train[0])
        )
    assert main(["evaluate", "--bundle", str(tiny.bundle), "--data", str(manifest)]) == 2
    errors = capsys.readouterr().err
    assert f"1 of {len(parts.test) + 1} images are the bundle's training images" in errors
    assert f"{parts.train[0].path}: in the train part of bundle" in errors


def test_foreign_images_of_unknown_scale_are_never_judged(
    tiny: TinyTraining, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    words = ["evaluate", "--bundle", str(tiny.bundle), "--data", str(tiny.data), "--foreign"]
    assert main([*words, "--json", str(report)]) == 0
    assert json.loads(report.read_text())["results"] == {"cannot_say: magnification": 30}


def test_wrong_options_and_data_are_refused_by_name(
    tiny: TinyTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "none")]
    assert main(["train", "--recipe", "none", *out]) == 2
    assert main(["train", "--arch", "alexnet", *out]) == 2
    assert main(["train", "--epochs", "0", *out]) == 2
    assert main(["train", "--data", str(tmp_path / "no"), *out]) == 2
    errors = capsys.readouterr().err
    for word in ("no recipe 'none'", "alexnet", "--epochs 0", "no such folder"):
        assert word in errors
    assert not (tmp_path / "none").exists()
