"""The map is the score: its mean plus the bias is the logit, per tile and over a whole field."""

import numpy as np
import pytest

from cloud_worker.engines.engine import open_engine
from cloud_worker.explain import class_maps, field_map
from cloud_worker.models.bundle import Bundle
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.tiling import plan_tiles, pool

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs


@pytest.mark.parametrize("kind", ["resnet34_bundle", "densenet121_bundle"])
def test_mean_of_the_map_plus_bias_is_the_logit(kind: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    images = np.random.default_rng(4).standard_normal((3, 3, 64, 64), dtype=np.float32)
    outputs = open_engine(bundle, "openvino", precision="f32").infer(images)
    weight, bias = bundle.head()
    maps = class_maps(outputs.maps, weight)
    assert maps.shape == (3, 5, 2, 2)
    assert np.allclose(maps.mean(axis=(2, 3)) + bias, outputs.logits, atol=1e-3, rtol=1e-4)


def test_over_a_tiled_field_the_pooled_map_means_plus_bias_are_the_pooled_logits(
    resnet34_bundle: Bundle,
) -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (150, 200, 3), np.uint8)
    prepared = prepare(rgb, 0.25, resnet34_bundle.card.preprocessing)
    assert isinstance(prepared, Prepared) and prepared.count > 6
    engine = open_engine(resnet34_bundle, "openvino", precision="f32")
    outputs = engine.infer(prepared.tiles())
    weight, bias = resnet34_bundle.head()
    maps = class_maps(outputs.maps, weight)
    pooled = pool(maps.mean(axis=(2, 3)), prepared.weights) + bias
    assert np.allclose(pooled, pool(outputs.logits, prepared.weights), atol=1e-3, rtol=1e-4)


def test_a_field_map_lays_tiles_where_they_were_cut() -> None:
    plan = plan_tiles(64, 96, tile_height_px=64, tile_width_px=64, overlap=0.5)
    tiles = np.zeros((2, 1, 2, 2), np.float32)
    tiles[0], tiles[1] = 1, 3
    assert np.array_equal(field_map(tiles, plan)[0], [[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match="1 tile maps for 2 tiles"):
        field_map(tiles[:1], plan)
