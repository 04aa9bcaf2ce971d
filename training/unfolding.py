"""Batch normalisation that was folded into its convolution, made able to learn again.

A file made for serving may hold normalisations that do nothing (mean 0, variance 1). Training would
then normalise by the batch and lose what the convolutions learned. From some images the true
statistics are measured, and scale and shift chosen so that the network still computes the same. It
changes nothing in a network whose statistics were kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def is_folded(network: nn.Module) -> bool:
    """Whether the network has batch normalisations and not one of them normalises."""
    found = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    return bool(found) and all(not _normalises(part) for part in found)


def unfold_batch_norm(network: nn.Module, images: Tensor) -> None:
    """Give every batch normalisation the statistics of these images N,3,H,W, and keep its result.

    One pass: what each layer is given does not change, for what it returns does not.
    """
    measured: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []

    def watch(part: nn.BatchNorm2d) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def measure(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = inputs[0].float()
            mean = seen.mean(dim=(0, 2, 3))
            measured.append((part, mean, seen.var(dim=(0, 2, 3), unbiased=False)))

        return measure

    hooks = [
        part.register_forward_pre_hook(watch(part))
        for part in network.modules()
        if isinstance(part, nn.BatchNorm2d)
    ]
    learning = network.training
    network.eval()
    with torch.no_grad():
        network(images)
        for hook in hooks:
            hook.remove()
        for part, mean, variance in measured:
            old_mean, old_variance = _statistics(part)
            slope = part.weight / (old_variance + part.eps).sqrt()
            part.bias.add_(slope * (mean - old_mean))
            part.weight.copy_(slope * (variance + part.eps).sqrt())
            old_mean.copy_(mean)
            old_variance.copy_(variance)
    network.train(learning)


def _statistics(part: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = part.running_mean, part.running_var
    if mean is None or variance is None:
        raise ValueError("a batch normalisation without statistics cannot be unfolded")
    return mean, variance


def _normalises(part: nn.BatchNorm2d) -> bool:
    mean, variance = _statistics(part)
    return bool((mean.abs() > 1e-6).any() or ((variance - 1).abs() > 1e-3).any())
