"""A small network for single white cells, and how it is taught; it knows no data set.

Real and simulated cells differ in light, stain and sharpness: each crop is brought between two points of
its own, its background and its darkest stain, and what is left is changed at random while the network learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

Crops = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

NUCLEUS = 0.3
"""Light that passes the darkest twentieth of a crop once it is between its points."""


def between_points(crops: Crops) -> torch.Tensor:
    """N,3,S,S as light that passes: 1 in each crop's background, `NUCLEUS` in its darkest stain.

    Each channel's absorbance is divided by its own 95th percentile, so that neither lamp nor camera nor
    the strength of a stain is left in it: only how the parts of a cell compare.
    """
    values = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    white = torch.quantile(values.flatten(2), 0.9, dim=2).clamp(min=0.1)
    passed = (values / white[:, :, None, None]).clamp(0.02, 1.0)
    absorbed = -torch.log(passed)
    darkest = torch.quantile(absorbed.flatten(2), 0.95, dim=2).clamp(min=0.05)
    return torch.exp(math.log(NUCLEUS) * absorbed / darkest[:, :, None, None])


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
    strength = torch.exp(torch.randn(count, 1, 1, 1) * 0.43 + torch.randn(count, 3, 1, 1) * 0.34)
    out = out.clamp(1e-3, 1.0) ** strength
    grey = out.mean(1, keepdim=True)
    out = grey + (out - grey) * torch.empty(count, 1, 1, 1).uniform_(0.5, 1.3)
    for reach, least in ((1, -0.6), (2, -1.2)):  # below 0 it is sharpened, as cameras do
        soft = F.avg_pool2d(F.pad(out, (reach,) * 4, mode="reflect"), 2 * reach + 1, 1)
        out = out + torch.empty(count, 1, 1, 1).uniform_(least, 0.9) * (soft - out)
    return (out + torch.randn_like(out) * 0.02 * torch.rand(count, 1, 1, 1)).clamp(0, 1.2)


def train(
    crops: Crops, numbers: Numbers, *, epochs: int, seed: int, say: Callable[[str], None]
) -> nn.Module:
    """The network after the last epoch, taught on square crops N,S,S,3 and the number of each type."""
    torch.manual_seed(seed)
    images, types = between_points(crops), torch.from_numpy(numbers)
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
