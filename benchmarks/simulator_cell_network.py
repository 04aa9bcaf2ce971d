"""A small network for single white cells, and how it is taught; it knows no data set.

Real and simulated cells differ in light, stain and sharpness: crops are white-balanced on their own
background, and what is left is changed at random while the network learns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

Crops = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def white_balanced(crops: Crops) -> torch.Tensor:
    """N,3,S,S with the background of each crop at one: real and simulated light become alike."""
    values = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    flat = values.flatten(2)
    white = torch.quantile(flat, 0.9, dim=2).clamp(min=0.1)
    return (values / white[:, :, None, None]).clamp(0, 1.2)


class Small(nn.Sequential):
    """Four stages of two convolutions, pooled by mean and maximum."""

    def __init__(self, types: int) -> None:
        layers: list[nn.Module] = []
        before = 3
        for width in (32, 64, 128, 192):
            for stride in (2 if before != 3 else 1, 1):
                layers += [
                    nn.Conv2d(before, width, 3, stride, 1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                before = width
            if width == 32:
                layers.append(nn.MaxPool2d(2))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(before, types)]
        super().__init__(*layers)


def changed(images: torch.Tensor) -> torch.Tensor:
    """Random turns, sizes, shifts, colours and sharpness: none of them may matter."""
    count = len(images)
    turn = torch.rand(count) * 2 * torch.pi
    size = torch.exp(torch.randn(count) * 0.10)
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    move = torch.stack(
        [
            torch.stack([size * torch.cos(turn) * flip, -size * torch.sin(turn)], 1),
            torch.stack([size * torch.sin(turn) * flip, size * torch.cos(turn)], 1),
        ],
        1,
    )
    shift = torch.randn(count, 2, 1) * 0.05
    grid = F.affine_grid(torch.cat([move, shift], 2), list(images.shape), align_corners=False)
    out = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    strength = torch.exp(torch.randn(count, 1, 1, 1) * 0.25 + torch.randn(count, 3, 1, 1) * 0.15)
    out = out.clamp(min=1e-3) ** strength
    grey = out.mean(1, keepdim=True)
    out = grey + (out - grey) * torch.empty(count, 1, 1, 1).uniform_(0.5, 1.3)
    soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="reflect"), 3, 1)
    blend = torch.empty(count, 1, 1, 1).uniform_(-0.6, 1.0)
    out = out + blend * (soft - out)
    return (out + torch.randn_like(out) * 0.02 * torch.rand(count, 1, 1, 1)).clamp(0, 1.2)


def train(
    crops: Crops, numbers: Numbers, *, epochs: int, seed: int, say: Callable[[str], None]
) -> nn.Module:
    """The network after the last epoch, taught on square crops N,S,S,3 and the number of each type."""
    torch.manual_seed(seed)
    images, types = white_balanced(crops), torch.from_numpy(numbers)
    network = Small(int(types.max()) + 1).to(memory_format=torch.channels_last)
    batch = 64
    steps = len(types) // batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    for epoch in range(epochs):
        network.train()
        order, right = torch.randperm(len(types)), 0
        for step in range(steps):
            pick = order[step * batch : (step + 1) * batch]
            inputs = changed(images[pick]).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(inputs)
            loss = F.cross_entropy(logits.float(), types[pick], label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            right += int((logits.argmax(1) == types[pick]).sum())
        say(f"epoch {epoch + 1}/{epochs}: {right / (steps * batch):.3f} of simulated cells right")
    return network.eval()
