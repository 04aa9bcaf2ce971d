"""The bundles that come with the project: synthetic by their cards, and as good as they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cloud_worker.models.bundle import PACKAGED, load_bundle
from edge_device.simulator import DiagnosisClass
from edge_device.simulator.dataset import FieldSettings, write_data_set
from hemowire.cli import main
from training.recipe import load_recipe

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")
NAME = "synthetic5-densenet121"
SYNTHETIC = sorted(folder.name for folder in PACKAGED.glob("synthetic5-*"))
UNSEEN_SEED = 90210

pytestmark = pytest.mark.timeout(240)
"""Rendering and inference take 15 s on two free cores; other work may share them."""


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields of unseen slides, and the same scenes without white cells."""
    root = tmp_path_factory.mktemp("unseen")
    for name, empty in (("fields", False), ("empty", True)):
        write_data_set(
            root / name,
            list(DiagnosisClass),
            slides=8,
            fields=1,
            seed=UNSEEN_SEED,
            settings=FieldSettings(background_only=empty),
        )
    return root


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_card_names_the_recipe_and_the_seeds_that_made_it(name: str) -> None:
    card = load_bundle(name).card
    recipe = load_recipe(card.recipe.name)
    assert card.architecture == recipe.architecture and card.task == recipe.task
    start = f"hemowire train --recipe {recipe.name} --data simulated"
    assert card.recipe.command.startswith(start)
    assert recipe.data.simulated is not None
    assert card.recipe.seeds["simulator"] == recipe.data.simulated.seed != UNSEEN_SEED
    assert card.limits_of_use == recipe.limits_of_use


@pytest.mark.parametrize("name", SYNTHETIC)
def test_it_tells_the_classes_apart_on_slides_it_never_saw(
    name: str, unseen: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    words = ["--bundle", name, "--data", str(unseen / "fields"), "--engine", "openvino"]
    assert main(["evaluate", *words, "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    figures = {metric["name"]: metric["value"] for metric in result["metrics"]}
    # 40 images: three standard errors below the 0.88 that the whole evaluation must reach.
    assert figures["balanced_accuracy"] >= 0.73
    assert figures["mean_rgb_balanced_accuracy"] < figures["balanced_accuracy"] - 0.25
    assert figures["cannot_say"] < 0.4


@pytest.mark.parametrize("name", SYNTHETIC)
def test_it_is_at_chance_where_the_white_cells_are_left_out(
    name: str, unseen: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    words = ["--bundle", name, "--data", str(unseen / "empty"), "--engine", "openvino"]
    assert main(["evaluate", *words, "--json", str(report)]) == 0
    metrics = json.loads(report.read_text())["metrics"]
    (figure,) = (metric for metric in metrics if metric["name"] == "balanced_accuracy")
    assert figure["low"] <= 0.2 <= figure["high"]


@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
@pytest.mark.parametrize("um_per_px", ["0.1", "0.2"])
def test_it_judges_no_real_field_whatever_scale_is_claimed(um_per_px: str, tmp_path: Path) -> None:
    """0.1 um per pixel is about right and refused as such; 0.2 must be refused as foreign."""
    report = tmp_path / "report.json"
    data = str(Path(str(REAL_DATA)) / "chula_fields")
    words = ["--bundle", NAME, "--data", data, "--foreign", "--um-per-px", um_per_px]
    assert main(["evaluate", *words, "--engine", "openvino", "--json", str(report)]) == 0
    results = json.loads(report.read_text())["results"]
    silent = sum(count for what, count in results.items() if what.startswith("cannot_say"))
    leukemic = sum(
        count for what, count in results.items() if not what.startswith(("cannot_say", "healthy"))
    )
    assert silent >= 38
    assert leukemic == 0
