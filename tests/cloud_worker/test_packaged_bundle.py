"""The bundle in the repository: small, synthetic by its own word, and the same on every engine."""

import numpy as np
import pytest

from cloud_worker.engines.engine import open_engine
from cloud_worker.foreignness.loading import load_score
from cloud_worker.models.bundle import PACKAGED, Bundle, default_bundle, find_bundle, load_bundle
from cloud_worker.preprocess import Prepared, prepare
from edge_device.simulator.cell_types import DiagnosisClass
from edge_device.simulator.field import render_field
from edge_device.simulator.slide import draw_slide

NAME = "synthetic5-densenet121"
#: Weights, graph and card together.
LARGEST_BYTES = 16 * 10**6
ALL_TOGETHER_BYTES = 62 * 2**20


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(NAME)


def test_it_is_small_and_says_that_it_is_synthetic(bundle: Bundle) -> None:
    files = {file.name: file.stat().st_size for file in (PACKAGED / NAME).iterdir()}
    assert sorted(files) == ["bundle.json", "model.onnx", "weights.safetensors"]
    assert sum(files.values()) <= LARGEST_BYTES
    assert default_bundle().folder == PACKAGED / NAME
    assert bundle.card.training_data_label == "synthetic"
    assert bundle.card.limits_of_use and bundle.card.metrics
    assert load_score(bundle) is not None


def test_all_bundles_in_the_repository_are_small_together() -> None:
    sizes = [file.stat().st_size for file in PACKAGED.rglob("*") if file.is_file()]
    assert sum(sizes) <= ALL_TOGETHER_BYTES


def test_the_bundle_of_real_smears_credits_its_data_and_is_never_the_default() -> None:
    card = load_bundle("ball4-densenet121").card
    assert (
        sum(f.stat().st_size for f in (PACKAGED / "ball4-densenet121").iterdir()) <= LARGEST_BYTES
    )
    assert card.training_data.kind == "real"
    assert "Aria" in card.training_data.credit and "research use" in card.training_data.licence
    assert card.recipe.initial_weights == "random"
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
    assert np.array_equal(served.logits.argmax(axis=1), reference.logits.argmax(axis=1))
