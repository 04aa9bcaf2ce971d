"""The architectures have the papers' sizes and return what the engines and the map need."""

import pytest
import torch

from cloud_worker.models.registry import (
    ARCHITECTURES,
    UnknownArchitectureError,
    architecture,
    build_network,
)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_network_with_five_classes_has_the_published_number_of_parameters(name: str) -> None:
    network = build_network(name, 5)
    assert sum(p.numel() for p in network.parameters()) == architecture(name).parameters_5_classes


@pytest.mark.parametrize(("name", "count"), [("resnet34", 21_287_237), ("densenet121", 6_958_981)])
def test_published_numbers_are_those_of_the_design(name: str, count: int) -> None:
    assert architecture(name).parameters_5_classes == count


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_forward_returns_logits_features_and_maps(name: str) -> None:
    row = architecture(name)
    network = build_network(name, 4).eval()
    with torch.inference_mode():
        logits, features, maps = network(torch.zeros(2, 3, 64, 96))
    assert logits.shape == (2, 4)
    assert features.shape == (2, row.feature_channels)
    assert maps.shape == (2, row.feature_channels, 64 // row.stride, 96 // row.stride)
    assert torch.allclose(maps.mean(dim=(2, 3)), features)
    assert network.get_submodule(row.head).weight.shape == (4, row.feature_channels)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_parameter_names_are_those_of_torchvision(name: str) -> None:
    import torchvision

    plain = torchvision.models.get_model(name, weights=None, num_classes=4)
    assert plain.state_dict().keys() == build_network(name, 4).state_dict().keys()


def test_unknown_architecture_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownArchitectureError, match="densenet121, resnet34"):
        architecture("vgg1")
