"""A fusion's segmented picture made inside the network, so that a bundle is served with the original only.

Colour thresholds are arithmetic on each pixel, so they go into the graph; its limits and colours are
tensors of the bundle. It finds no cells: a segmentation that looks beyond a pixel cannot be served so.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ColourThresholds(nn.Module):
    """Normalised images N,3,H,W -> the same with all pixels black whose hue, saturation or value is out."""

    limits: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Hue 0 to 180, saturation and value 0 to 255, as OpenCV counts, both ends included.
        self.register_buffer("limits", torch.tensor([[0.0, 180.0], [0.0, 255.0], [0.0, 255.0]]))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))

    def set(
        self,
        limits: tuple[tuple[int, int], ...],
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Take thresholds, and the colours by which images are normalised."""
        self.limits.copy_(torch.tensor(limits, dtype=torch.float32))
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """x: normalised N,3,H,W."""
        mean, std = self.mean[:, None, None], self.std[:, None, None]
        pixels = torch.round((x * std + mean) * 255.0)
        red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
        value = pixels.amax(dim=1, keepdim=True)
        spread = value - pixels.amin(dim=1, keepdim=True)
        saturation = torch.round(255.0 * spread / value.clamp(min=1.0))
        sixth = 30.0 / spread.clamp(min=1.0)
        hue = 120.0 + (red - green) * sixth
        hue = torch.where(value == green, 60.0 + (blue - red) * sixth, hue)
        hue = torch.where(value == red, (green - blue) * sixth, hue)
        hue = torch.round(torch.where(hue < 0.0, hue + 180.0, hue))
        kept = torch.ones_like(value, dtype=torch.bool)
        for number, plane in enumerate((hue, saturation, value)):
            kept = kept & (plane >= self.limits[number, 0]) & (plane <= self.limits[number, 1])
        return torch.where(kept, x, -mean / std)
