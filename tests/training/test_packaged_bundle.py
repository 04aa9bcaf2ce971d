"""The bundle that comes with the project: small, synthetic by its card, and as good as it says."""

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
UNSEEN_SEED = 90210
LARGEST_BYTES = 16_000_000

pytestmark = pytest.mark.timeout(240)
"""Rendering and inference take 15 s on two free cores; other work may share them."""


def test_it_is_small_and_calls_itself_synthetic() -> None:
    bundle = load_bundle(NAME)
    assert sum(file.stat().st_size for file in (PACKAGED / NAME).iterdir()) <= LARGEST_BYTES
    assert bundle.card.training_data_label == "synthetic"
    assert all("simulated" in kind.display for kind in bundle.card.classes)
    assert any("Research use only" in limit for limit in bundle.card.limits_of_use)


def test_its_card_names_the_recipe_and_the_seeds_that_made_it() -> None:
    card, recipe = load_bundle(NAME).card, load_recipe("synthetic5")
    assert card.recipe.name == recipe.name
    assert card.recipe.command.startswith("hemowire train --recipe synthetic5 --data simulated")
    assert recipe.data.simulated is not None
    assert card.recipe.seeds["simulator"] == recipe.data.simulated.seed != UNSEEN_SEED


def test_it_tells_the_classes_apart_on_slides_it_never_saw(tmp_path: Path) -> None:
    write_data_set(tmp_path / "fields", list(DiagnosisClass), slides=8, fields=1, seed=UNSEEN_SEED)
    report = tmp_path / "report.json"
    words = ["--bundle", NAME, "--data", str(tmp_path / "fields"), "--engine", "openvino"]
    assert main(["evaluate", *words, "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    figures = {metric["name"]: metric["value"] for metric in result["metrics"]}
    # 40 images: three standard errors below the 0.80 that the whole evaluation must reach.
    assert figures["balanced_accuracy"] >= 0.65
    assert figures["mean_rgb_balanced_accuracy"] < figures["balanced_accuracy"] - 0.15
    assert figures["cannot_say"] < 0.4


def test_it_is_at_chance_where_the_white_cells_are_left_out(tmp_path: Path) -> None:
    write_data_set(
        tmp_path / "fields",
        list(DiagnosisClass),
        slides=8,
        fields=1,
        seed=UNSEEN_SEED,
        settings=FieldSettings(background_only=True),
    )
    report = tmp_path / "report.json"
    words = ["--bundle", NAME, "--data", str(tmp_path / "fields"), "--engine", "openvino"]
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
