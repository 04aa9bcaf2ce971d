"""A bundle of each network that sees one picture can be served; who has no exact map says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cloud_worker.engines.engine import open_engine
from cloud_worker.engines.torch_engine import TorchEngine
from cloud_worker.explain import class_maps
from cloud_worker.finding import Conclusion
from cloud_worker.models.bundle_folder import NoExactMapError
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.card import BundleCard
from cloud_worker.models.export import ExportError
from cloud_worker.models.registry import architecture, build_network
from cloud_worker.preprocess import Prepared
from tests.cloud_worker.conftest import random_network

pytestmark = pytest.mark.timeout(240)  # each test exports the bundle that it needs


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        "ac_gan",
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("mobilenet_v2_dense", marks=pytest.mark.slow),
        pytest.param("fusion_original", marks=pytest.mark.slow),
        pytest.param("vgg16", marks=pytest.mark.slow),
    ],
)
def test_a_network_is_written_served_and_explained_as_far_as_it_can_be(
    name: str, tmp_path: Path, make_card: Callable[..., BundleCard]
) -> None:
    row = architecture(name)
    side = row.only_px or 64
    network = random_network(name, side_px=side)
    bundle = write_bundle(tmp_path / "bundle", network, make_card(name, side_px=side))
    images = np.random.default_rng(4).standard_normal((3, 3, side, side), dtype=np.float32)
    engine = open_engine(bundle, "openvino", precision="f32")
    served = engine.infer(images)
    reference = TorchEngine(bundle, device="cpu").infer(images)
    assert np.allclose(served.logits, reference.logits, atol=1e-3, rtol=1e-3)
    assert served.maps.shape[1:] == engine.infer(images[:0]).maps.shape[1:]

    conclusion = Conclusion(bundle)
    field = np.random.default_rng(5).integers(0, 256, (side, side, 3), np.uint8)
    prepared = conclusion.prepare(field, 0.25)
    assert isinstance(prepared, Prepared)
    finding = conclusion.finish(prepared, conclusion.read(engine.infer(prepared.tiles())))
    assert bundle.has_exact_map == (finding.class_map is not None)
    if bundle.has_exact_map:
        weight, bias = bundle.head()
        maps = class_maps(served.maps, weight)
        assert np.allclose(maps.mean(axis=(2, 3)) + bias, served.logits, atol=1e-3, rtol=1e-3)
    else:
        with pytest.raises(NoExactMapError, match=f"no exact class-activation map: {row.no_map}"):
            bundle.head()


def test_a_network_that_needs_the_segmented_image_is_not_made_a_bundle(
    tmp_path: Path, make_card: Callable[..., BundleCard]
) -> None:
    network = build_network("fusion_mobilenet", 5)
    with pytest.raises(ExportError, match="needs original and segmented"):
        write_bundle(tmp_path / "bundle", network, make_card("fusion_mobilenet"))
    assert not (tmp_path / "bundle").exists()
