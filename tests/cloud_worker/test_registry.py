"""The architectures have the papers' sizes and return what the engines and the map need.

Parameters are counted on torch's meta device, where a network takes no memory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import pytest
import torch
import torchvision
from torch import nn

from cloud_worker.models.ac_gan import AcGanClassifier, AcGanGenerator
from cloud_worker.models.fusion import Fusion
from cloud_worker.models.networks import BUILDERS
from cloud_worker.models.registry import (
    ARCHITECTURES,
    BIBI,
    ISLAM,
    KARAR,
    PAVITHRA,
    UnknownArchitectureError,
    Use,
    architecture,
    build_network,
)

USES = [(row.name, use) for row in ARCHITECTURES.values() for use in row.uses]
SMALL = ["densenet121", "resnet34", "mobilenet_v2", "mobilenet_v2_dense", "ac_gan"]


@functools.cache
def sketch(name: str, classes: int) -> nn.Module:
    with torch.device("meta"):
        return build_network(name, classes)


def count(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def keras_count(network: nn.Module) -> int:
    statistics = (b for n, b in network.named_buffers() if not n.endswith("num_batches_tracked"))
    return count(network.parameters()) + count(statistics)


@pytest.mark.parametrize(("name", "use"), USES, ids=[f"{n}-{len(u.classes)}" for n, u in USES])
def test_a_network_is_as_large_as_its_row_says(name: str, use: Use) -> None:
    network = sketch(name, len(use.classes))
    assert count(network.parameters()) == use.parameters
    assert keras_count(network) == use.with_statistics
    if use.trainable is not None:
        assert isinstance(network, Fusion)
        network.freeze_trunks()
        assert count(p for p in network.parameters() if p.requires_grad) == use.trainable


def test_the_rows_say_what_the_papers_and_the_design_say() -> None:
    said = {(name, use.paper, len(use.classes)): use for name, use in USES}
    assert said["resnet34", BIBI, 5].parameters == 21_287_237
    assert said["densenet121", BIBI, 5].parameters == 6_958_981
    assert said["mobilenet_v2", PAVITHRA, 4].parameters == 2_223_872 + 5_124
    fusion = said["fusion", ISLAM, 4]
    assert fusion.with_statistics == 14_714_688 + 2_134_592 + 1_749_556 == 18_598_836
    assert fusion.parameters == 14_714_688 + 2_110_336 + 1_749_556 == 18_574_580
    assert fusion.trainable == 1_749_556
    assert said["ac_gan", KARAR, 3].parameters == 97_632 + 2_049 + 6_147
    assert {name for name, paper, _ in said if paper == KARAR} == {
        "ac_gan", "densenet121", "resnet50", "vgg16",
    }  # fmt: skip


def test_the_fusion_is_made_of_the_parts_that_the_design_counts() -> None:
    network = sketch("fusion", 4)
    assert isinstance(network, Fusion)
    vgg16, densenet121 = network.trunks.values()
    assert keras_count(vgg16) == count(vgg16.parameters()) == 14_714_688
    assert count(densenet121.parameters()) == 2_110_336
    assert keras_count(densenet121) == 2_134_592
    assert count(network.head.parameters()) == 1_749_556


def test_mobilenet_and_the_two_halves_of_the_ac_gan_have_the_design_s_sizes() -> None:
    assert count(sketch("mobilenet_v2", 4).get_submodule("features").parameters()) == 2_223_872
    classifier = sketch("ac_gan", 3)
    assert isinstance(classifier, AcGanClassifier)
    assert count(classifier.features.parameters()) == 97_632
    assert count(classifier.source.parameters()) == 2_049
    assert count(classifier.classifier.parameters()) == 6_147
    with torch.device("meta"):
        assert count(AcGanGenerator(3).parameters()) == 857_519


def test_each_row_has_its_builder_and_no_builder_is_without_a_row() -> None:
    assert set(BUILDERS) == set(ARCHITECTURES)
    assert all(name == row.name for name, row in ARCHITECTURES.items())
    assert all(bool(row.no_map) == (row.map_layer is None) for row in ARCHITECTURES.values())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_forward_returns_logits_features_and_maps(name: str) -> None:
    row = architecture(name)
    height, width = (row.only_px, row.only_px) if row.only_px else (64, 96)
    with torch.device("meta"), torch.inference_mode():
        network = build_network(name, 4).eval()
        logits, features, maps = network(*(torch.zeros(2, 3, height, width) for _ in row.inputs))
    assert logits.shape == (2, 4)
    assert features.shape == (2, row.feature_channels)
    assert maps.shape == (
        2,
        row.feature_channels,
        -(-height // row.stride),
        -(-width // row.stride),
    )
    if row.map_layer is not None:
        assert network.get_submodule(row.map_layer).weight.shape == (4, row.feature_channels)
    head = {n for n in network.state_dict() if n.startswith(f"{row.head}.")}
    assert any(network.state_dict()[n].shape[0] == 4 for n in head)


@pytest.mark.parametrize("name", SMALL)
def test_features_are_the_maps_means_and_an_exact_map_adds_up_to_the_logit(name: str) -> None:
    row = architecture(name)
    torch.manual_seed(5)
    network = build_network(name, 4).eval()
    side = row.only_px or 64
    with torch.inference_mode():
        logits, features, maps = network(torch.randn(2, 3, side, side))
        assert torch.allclose(maps.mean(dim=(2, 3)), features, atol=1e-5)
        if row.map_layer is not None:
            layer = network.get_submodule(row.map_layer)
            assert isinstance(layer, nn.Linear)
            scores = torch.einsum("kc,nchw->nkhw", layer.weight, maps).mean(dim=(2, 3)) + layer.bias
            assert torch.allclose(scores, logits, atol=1e-4)


@pytest.mark.parametrize(
    "name", [n for n, row in ARCHITECTURES.items() if row.backbones == ((n, ""),)]
)
def test_parameter_names_are_those_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        plain = torchvision.models.get_model(name, weights=None, num_classes=4)
    assert plain.state_dict().keys() == sketch(name, 4).state_dict().keys()


@pytest.mark.parametrize("name", [n for n, row in ARCHITECTURES.items() if row.backbones])
def test_every_tensor_of_a_backbone_is_one_of_torchvision_s(name: str) -> None:
    row = architecture(name)
    ours = {n: t for n, t in sketch(name, 4).state_dict().items() if not n.startswith(row.head)}
    theirs = {}
    for backbone, prefix in row.backbones:
        with torch.device("meta"):
            plain = torchvision.models.get_model(backbone, weights=None)
        theirs.update({f"{prefix}{n}": t for n, t in plain.state_dict().items()})
    assert {n: t.shape for n, t in ours.items()} == {n: theirs[n].shape for n in ours}


def test_each_trunk_of_the_fusion_sees_its_own_picture() -> None:
    torch.manual_seed(5)
    network = build_network("fusion_mobilenet", 4).eval()
    first, second = torch.randn(2, 2, 3, 32, 32).unbind(0)
    with torch.inference_mode():
        together = network(first, second)[1]
        assert torch.equal(network(first, first)[1][:, :576], together[:, :576])
        assert torch.equal(network(second, second)[1][:, 576:], together[:, 576:])
        assert torch.equal(network(first)[0], network(first, first)[0])


def test_frozen_trunks_keep_their_batch_statistics_while_the_head_learns() -> None:
    torch.manual_seed(5)
    network = build_network("fusion_mobilenet", 4)
    assert isinstance(network, Fusion)
    network.freeze_trunks()
    before = {name: tensor.clone() for name, tensor in network.trunks.state_dict().items()}
    network.train()
    assert network.head.training
    network(torch.randn(2, 3, 32, 32))[0].sum().backward()
    after = network.trunks.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(p.grad is None for p in network.trunks.parameters())


def test_the_generator_draws_what_the_classifier_takes() -> None:
    images = AcGanGenerator(3).draw(torch.tensor([0, 1, 2, 0]), torch.Generator().manual_seed(1))
    assert images.shape == (4, 3, 28, 28)
    assert float(images.detach().abs().max()) <= 1.0
    source, classes = AcGanClassifier(3).judge(images)
    assert source.shape == (4,)
    assert classes.shape == (4, 3)


def test_unknown_architecture_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownArchitectureError, match="densenet121, resnet34"):
        architecture("vgg1")
