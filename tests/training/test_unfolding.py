"""A network with folded batch normalisation computes the same after unfolding, and then can learn."""

from __future__ import annotations

import torch
from torch import nn

from cloud_worker.models.registry import build_network
from training.unfolding import is_folded, unfold_batch_norm


def folded_network() -> nn.Module:
    """Random convolutions whose batch normalisations have a shift and no statistics."""
    torch.manual_seed(2)
    network = build_network("mobilenet_v2", 4).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0.3, 0.3)
    return network


def test_the_network_computes_the_same_and_now_with_batch_statistics_too() -> None:
    network = folded_network()
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert is_folded(network)
    with torch.no_grad():
        before = network(images)[1]
        network.train()
        lost = network(images)[1]
    network = folded_network()
    unfold_batch_norm(network, images)
    assert not network.training
    assert not is_folded(network)
    with torch.no_grad():
        after = network(images)[1]
        network.train()
        learning = network(images)[1]
    scale = before.abs().max()
    assert float((after - before).abs().max() / scale) < 1e-3
    assert float((learning - before).abs().max() / scale) < 1e-2
    assert float((lost - before).abs().max() / scale) > 0.1


def test_statistics_that_were_kept_are_no_sign_of_folding() -> None:
    network = folded_network()
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 3, 64, 64))
    assert not is_folded(network)
    assert not is_folded(nn.Sequential(nn.Conv2d(3, 3, 1)))
