"""The bundles in the repository: small, synthetic by their own word, and the same on every engine."""

import numpy as np
import pytest

from cloud_worker.engines.engine import open_engine
from cloud_worker.foreignness.loading import load_score
from cloud_worker.models.bundle import PACKAGED, Bundle, default_bundle, find_bundle, load_bundle
from cloud_worker.preprocess import Prepared, prepare
from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.field import render_field
from edge_device.simulator.slide import draw_slide

DEFAULT, REAL = "synthetic5-densenet121", "ball4-densenet121"
SYNTHETIC = sorted(folder.name for folder in PACKAGED.glob("synthetic5-*"))
#: Weights, graphs and cards.
SYNTHETIC_TOGETHER_BYTES = 62 * 2**20
REAL_BYTES = 16 * 10**6


@pytest.fixture(scope="module", params=SYNTHETIC)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_bundle(request.param)


def sizes_of(name: str) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in (PACKAGED / name).iterdir()}


def test_each_says_that_it_is_synthetic(bundle: Bundle) -> None:
    assert sorted(sizes_of(bundle.folder.name)) == [
        "bundle.json",
        "model.onnx",
        "weights.safetensors",
    ]
    assert bundle.card.training_data_label == "synthetic"
    assert all("simulated" in kind.display for kind in bundle.card.classes)
    assert "Research use only, not for diagnosis." in bundle.card.limits_of_use
    assert load_score(bundle) is not None
    figures = {metric.name: metric for metric in bundle.card.metrics}
    assert figures["balanced_accuracy"].value >= 0.85
    assert "slide" in figures["balanced_accuracy"].split


def test_the_synthetic_bundles_are_small_together_and_the_real_one_apart() -> None:
    assert {folder.name for folder in PACKAGED.iterdir() if folder.is_dir()} == {*SYNTHETIC, REAL}
    together = sum(sum(sizes_of(name).values()) for name in SYNTHETIC)
    assert together <= SYNTHETIC_TOGETHER_BYTES
    assert sum(sizes_of(REAL).values()) <= REAL_BYTES


def test_of_several_the_default_stays_and_each_is_found_by_its_network() -> None:
    assert default_bundle().folder == PACKAGED / DEFAULT
    for name in SYNTHETIC:
        assert find_bundle(name.partition("-")[2]).folder == PACKAGED / name


def test_the_bundle_of_real_smears_credits_its_data_and_is_never_the_default() -> None:
    card = load_bundle(REAL).card
    assert card.training_data.kind == "real"
    assert "Aria" in card.training_data.credit and "research use" in card.training_data.licence
    # From a bundle that saw simulated cells only, and from nobody's file.
    assert card.recipe.initial_weights.startswith("bundle synthetic5-densenet121@")
    assert load_bundle("synthetic5-densenet121").card.training_data.kind == "synthetic"
    figures = {metric.name: metric for metric in card.metrics}
    assert "near-duplicate group" in figures["balanced_accuracy"].split
    assert default_bundle().name.startswith("synthetic5-")
    assert find_bundle("densenet121").name.startswith("synthetic5-")


@pytest.mark.timeout(240)
def test_engines_agree_on_real_weights_and_simulated_fields(bundle: Bundle) -> None:
    tiles = []
    for number, kind in enumerate(DiagnosisClass):
        field = render_field(draw_slide(1000 + number), kind, 0, width_px=704, height_px=512)
        prepared = prepare(field.image, 0.2, bundle.card.preprocessing)
        assert isinstance(prepared, Prepared)
        tiles.append(prepared.tiles(0, 1))
    batch = np.concatenate(tiles)
    reference = open_engine(bundle, "torch", device="cpu").infer(batch)
    exact = open_engine(bundle, "openvino", precision="f32").infer(batch)
    served = open_engine(bundle, "openvino").infer(batch)
    size = np.linalg.norm(reference.logits)
    assert np.linalg.norm(exact.logits - reference.logits) / size < 1e-4
    assert np.linalg.norm(served.logits - reference.logits) / size < 2e-2
    # bfloat16 may swap two classes that lie no further apart than its error.
    second, first = np.sort(reference.logits, axis=1)[:, -2:].T
    firm = first - second > 2e-2 * np.linalg.norm(reference.logits, axis=1)
    assert firm.sum() >= 3
    largest = reference.logits.argmax(axis=1)
    assert np.array_equal(served.logits.argmax(axis=1)[firm], largest[firm])
