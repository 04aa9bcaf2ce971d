"""One command from images to the pages of docs/models, stopped and gone on with; small, and said so."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud_worker.cells.white_cells import COARSEST_UM_PER_PX
from cloud_worker.models.card import Metric
from training.evaluation.answers import Answered, together, whole_figures
from training.fifths import main as fifths
from training.fifths import table
from training.regimes import FIFTHS
from training.table_pages import NEVER_SEEN
from training.table_rows import Row, table_rows
from training.tables import experiments, main, next_time

pytestmark = pytest.mark.timeout(180)
"""A training of 28 px takes 10 s on two free cores; other work may share them."""
RUN = "karar3-acgan.ball4.by_group"


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def four_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ball4")
    for number, label in enumerate(("Benign", "Early", "Pre", "Pro")):
        (root / label).mkdir()
        for image in range(14):
            rng = np.random.default_rng(100 * number + image)
            small = rng.integers(0, 90, (16, 16, 3)) + 40 * number
            pixels = cv2.resize(small.astype(np.uint8), (224, 224), interpolation=cv2.INTER_CUBIC)
            assert cv2.imwrite(str(root / label / f"{image}.png"), pixels)
    return root


def test_a_run_leaves_a_row_with_its_command_and_is_not_made_twice(
    four_classes: Path, tmp_path: Path
) -> None:
    words = ["--reduced", "--ball4", str(four_classes), "--only", RUN]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "models")]
    assert main(words) == 0
    page = (tmp_path / "models" / "karar2022.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| AC-GAN")]
    assert "| ball4 | by group | " in row
    assert "| none |" in row
    assert "--recipe karar3-acgan --on ball4" in page
    assert NEVER_SEEN in page
    assert row.startswith("| AC-GAN classifier, reduced | ")
    assert "**Reduced** rows" in page
    assert "reproduce" not in page.lower()
    assert str(four_classes) not in page
    assert "`karar2-acgan.simulated2.paper`" in page  # named as not run yet
    empty = (tmp_path / "models" / "pavithra.md").read_text(encoding="utf-8")
    assert "--reduced --only 'pavithra*'" in empty  # what fills it, and no empty table
    assert "|" not in empty

    folder = tmp_path / "work" / "reduced" / f"{RUN}.training"
    split = json.loads((folder / "split.json").read_text())
    assert split["honest"]
    assert split["overlap"] == {"groups": 0, "files": 0, "test_images_with_sibling": 0}
    sheet = cv2.imread(str(folder / "generated.png"))
    assert sheet is not None
    assert sheet.shape == (4 * 112, 12 * 112, 3)
    with np.load(folder / "predictions.npz") as told:
        assert told["logits"].shape == (split["parts"]["test"]["images"], 4)
        assert sorted(told["ids"]) == sorted(split["parts"]["test"]["sha256"])
    assert not (folder / "checkpoint.pt").exists()

    before = (folder / "history.json").stat().st_mtime_ns
    assert main(words) == 0
    assert (folder / "history.json").stat().st_mtime_ns == before

    full = tmp_path / "work" / "full" / folder.name
    full.parent.mkdir()
    shutil.copytree(folder, full)
    told = json.loads((full / "history.json").read_text()) | {"reduced": False}
    (full / "history.json").write_text(json.dumps(told))
    assert main(words) == 0
    page = (tmp_path / "models" / "karar2022.md").read_text(encoding="utf-8")
    assert (
        "| AC-GAN classifier | ball4 | by group | " in page
    )  # the full one is shown where there are both
    assert "**Reduced** rows" not in page


def test_without_the_four_class_set_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEMOWIRE_REAL_DATA", raising=False)
    words = ["--only", RUN, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "models")]
    assert main(words) == 1
    assert f"{RUN}: needs the four-class set" in capsys.readouterr().err


def test_every_experiment_has_a_name_of_its_own_and_a_recipe_that_fits() -> None:
    runs = experiments()
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        recipe = run.made(small=True)
        assert recipe.reduced
        if recipe.segmentation == "cells":  # else the run ends on its first image
            assert recipe.input.um_per_px <= COARSEST_UM_PER_PX
        assert run.command(small=True).endswith("--reduced --out BUNDLE")


def test_fifths_pool_to_every_image_once() -> None:
    rng = np.random.default_rng(4)
    parts = [
        Answered(rng.normal(size=(n, 3)), np.arange(n) % 3, np.arange(n) // 2, 1.0) for n in (8, 6)
    ]
    whole = together(parts)
    assert len(whole.labels) == 14
    assert len(np.unique(whole.groups)) == 4 + 3  # no group of one fifth is one of another's
    figures = {one.name: one for one in whole_figures(whole)}
    (row,) = table(["all"], [figures])[2:]
    assert row.startswith("| all | 14 | ")
    assert row.endswith("| - |")  # no colour baseline is pooled


def fifth_row(fifth: int, command: str, recipe: str = "ball4") -> Row:
    rng = np.random.default_rng(fifth)
    labels = np.arange(8) % 4
    answered = Answered(rng.normal(size=(8, 4)), labels, np.arange(8), 1.0)
    colour = Metric(name="mean_rgb_balanced_accuracy", value=fifth / 10, images=8, split="test")
    return Row(
        history={
            "architecture": "mobilenet_v2",
            "recipe": recipe,
            "data_set": "ball4",
            "reduced": False,
        },
        split={
            "regime": "contiguous_fifths",
            "fifth": fifth,
            "parts": {"test": {"images": 8, "groups": [f"{fifth}-{n}" for n in range(8)]}},
            "overlap": {"test_images_with_sibling": 0},
        },
        run={"command": f"{command} --fifth {fifth} --out B", "segmentation": "authors"},
        figures={one.name: one for one in (*whole_figures(answered), colour)},
        answered=answered,
    )


def test_five_fifths_of_one_network_are_also_told_together() -> None:
    rows = [fifth_row(fifth, "train --arch mobilenet_v2") for fifth in range(1, 6)]
    alone = fifth_row(5, "train --arch resnet34")
    lines = table_rows([*rows, alone])
    assert len(lines) == 7  # one more than there are runs
    assert "| contiguous fifths, all five, each held out in turn | 40, 40 | none | " in lines[-1]
    assert lines[-1].endswith(" | 0.300 (mean of five) |")
    right = sum(int((row.answered.answers == row.answered.labels).sum()) for row in rows)
    assert f"| {right / 40:.3f} (" in lines[-1]
    assert len(table_rows(rows[:4])) == 4  # a fifth is missing


def test_two_recipes_of_one_network_are_told_apart() -> None:
    rows = [
        fifth_row(fifth, f"train --recipe {recipe}", recipe)
        for recipe in ("ball4", "ball4-cells")
        for fifth in FIFTHS
    ]
    lines = table_rows(rows)
    assert len(lines) == 12
    assert sum(line.startswith("| MobileNetV2 | ") for line in lines) == 6
    assert sum(line.startswith("| MobileNetV2, told by white cells | ") for line in lines) == 6


@pytest.mark.slow
def test_a_fifth_is_trained_once_and_told(
    four_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "karar3-acgan-alone", "--data", str(four_classes), "--reduced"]
    words += ["--work", str(tmp_path), "--fifth", "2", "--fifth", "5"]
    assert fifths(words) == 0
    said = capsys.readouterr().out
    assert "| fifth 2 | " in said and "| all 2 together | " in said
    assert "Reduced: " in said
    records = sorted(tmp_path.glob("reduced/*.training"))
    assert len(records) == 2
    before = [(one / "history.json").stat().st_mtime_ns for one in records]
    assert fifths(words) == 0
    assert [(one / "history.json").stat().st_mtime_ns for one in records] == before


def test_an_end_after_midnight_is_tomorrow_s() -> None:
    evening = datetime(2026, 11, 21, 23, 56)
    assert next_time("01:20", evening) == datetime(2026, 11, 22, 1, 20)
    assert next_time("23:57", evening) == datetime(2026, 11, 21, 23, 57)
    with pytest.raises(SystemExit):
        main(["--reduced", "--until", "soon"])
