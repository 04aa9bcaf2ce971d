"""Maps of half the pitch with the same weights: what they leave as it was, and who cannot have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from cloud_worker.engines.engine import open_engine
from cloud_worker.explain import class_maps
from cloud_worker.models.bundle_folder import Bundle, BundleRefusedError, card_digest, load_folder
from cloud_worker.models.bundle_writing import write_bundle
from cloud_worker.models.card import BundleCard
from cloud_worker.models.networks import DenseNetWithMaps
from cloud_worker.models.registry import OutputStrideError, build_served_network, stride_of
from tests.cloud_worker.conftest import SIDE_PX, random_network
from training.recipe import RecipeError, check_network, load_recipe


@pytest.fixture(scope="module")
def fine_bundle(
    tmp_path_factory: pytest.TempPathFactory, make_card: Callable[..., BundleCard]
) -> Bundle:
    """DenseNet-121 with random weights and maps of stride 16."""
    network = random_network("densenet121")
    assert isinstance(network, DenseNetWithMaps)
    network.halve_output_stride()
    card = make_card("densenet121").model_copy(update={"output_stride": 16})
    return write_bundle(tmp_path_factory.mktemp("fine") / "random5-densenet121", network, card)


def tiles(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(3))


def test_what_the_network_sees_at_its_old_places_is_unchanged() -> None:
    network = random_network("densenet121")
    assert isinstance(network, DenseNetWithMaps)
    with torch.inference_mode():
        coarse = network.features(tiles())
        network.halve_output_stride()
        fine = network.features(tiles())
    assert fine.shape[2:] == (2 * coarse.shape[2], 2 * coarse.shape[3])
    assert torch.allclose(fine[:, :, ::2, ::2], coarse, atol=1e-4)
    assert not torch.allclose(fine[:, :, 1::2, 1::2], coarse, atol=1e-2)


def test_a_spot_moves_its_map_to_where_it_is() -> None:
    """Not half a place beside it, as means of pairs alone would."""
    network = random_network("densenet121")
    assert isinstance(network, DenseNetWithMaps)
    network.halve_output_stride()
    empty = torch.zeros(1, 3, 160, 160)
    spotted = empty.clone()
    spotted[..., 72:88, 72:88] = 4.0
    with torch.inference_mode():
        change = (network(spotted)[2] - network(empty)[2]).abs().sum(1)[0].double().numpy()
    centre_px = [
        float((change.sum(axis) * (np.arange(10) + 0.5)).sum() / change.sum()) * 16
        for axis in (1, 0)
    ]
    assert centre_px == pytest.approx([80, 80], abs=6)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_an_engine_gives_fine_maps_whose_mean_is_the_logit(
    kind: Literal["openvino", "torch"], fine_bundle: Bundle
) -> None:
    assert fine_bundle.stride == 16
    engine = open_engine(fine_bundle, kind, precision="f32")
    outputs = engine.infer(tiles().numpy())
    places = SIDE_PX // 16
    assert outputs.maps.shape == (2, 1024, places, places)
    weight, bias = fine_bundle.head()
    means = class_maps(outputs.maps, weight).mean(axis=(2, 3)) + bias
    assert np.allclose(means, outputs.logits, atol=2e-2)
    assert engine.infer(tiles(0).numpy()).maps.shape == (0, 1024, places, places)


def test_a_card_without_a_stride_keeps_its_digest(
    resnet34_bundle: Bundle, fine_bundle: Bundle
) -> None:
    text = json.loads((resnet34_bundle.folder / "bundle.json").read_text(encoding="utf-8"))
    assert "output_stride" not in text
    other = fine_bundle.card.model_copy(update={"output_stride": None})
    assert card_digest(other) != fine_bundle.digest


def test_only_what_can_be_served_is_taken(fine_bundle: Bundle, tmp_path: Path) -> None:
    assert stride_of("resnet34", None) == stride_of("resnet34", 32) == 32
    with pytest.raises(OutputStrideError, match=r"ResNet-34 cannot .* of 16 px, only 32"):
        build_served_network("resnet34", 5, 16)
    with pytest.raises(RecipeError, match=r"DenseNet-121 cannot .* of 8 px, only 32 or 16"):
        check_network(load_recipe("synthetic5").model_copy(update={"output_stride": 8}))
    for file in fine_bundle.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = fine_bundle.card.model_copy(update={"output_stride": 8})
    told = card.model_copy(update={"digest": card_digest(card)})
    (tmp_path / "bundle.json").write_text(told.model_dump_json(by_alias=True), encoding="utf-8")
    with pytest.raises(BundleRefusedError, match="only 32 or 16"):
        load_folder(tmp_path)
