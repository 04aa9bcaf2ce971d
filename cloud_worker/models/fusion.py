"""The feature fusion of Islam et al. 2024: two trunks cut at stride 16, joined by a dense stack.

The first trunk sees the original image, the second one the segmented image; given one image, both
see it (the paper's ablations). Parameter names inside a trunk are torchvision's. It loads no weights, and
segments nothing itself before it is told to for serving.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import densenet121, mobilenet_v2, resnet50, vgg16

from cloud_worker.models.segment_inside import ColourThresholds

WIDTHS = (1024, 512, 256, 128, 64, 32, 16)
DROPOUT_AFTER = 2
"""Dropout follows the first so many dense layers."""


class Fusion(nn.Module):
    """Two trunks with the same grid -> pooled, concatenated, dense layers, logits."""

    def __init__(self, trunks: dict[str, nn.Module], channels: int, classes: int) -> None:
        super().__init__()
        self.trunks = nn.ModuleDict(trunks)
        layers: list[nn.Module] = []
        inputs = channels
        for number, width in enumerate(WIDTHS):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            layers += [nn.Dropout(0.2)] if number < DROPOUT_AFTER else []
            inputs = width
        self.head = nn.Sequential(*layers, nn.Linear(inputs, classes))
        self._frozen = False
        self.segment: ColourThresholds | None = None
        self._both_segmented = False

    def forward(
        self, original: Tensor, segmented: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """N,3,H,W once or twice -> logits N,K; features N,C; maps N,C,H/16,W/16."""
        if self.segment is not None and segmented is None:
            segmented = self.segment(original)
            original = segmented if self._both_segmented else original
        first, second = self.trunks.values()
        maps = torch.cat([first(original), second(original if segmented is None else segmented)], 1)
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.head(features), features, maps

    def segment_inside(self, *, both: bool) -> ColourThresholds:
        """From here on the original is all it needs; `both` trunks see what is made of it."""
        self.segment, self._both_segmented = ColourThresholds(), both
        return self.segment

    def freeze_trunks(self) -> None:
        """Only the head learns from here on, as in the paper; needs trunks that learned before."""
        self._frozen = True
        self.trunks.requires_grad_(False)
        self.trunks.eval()

    def train(self, mode: bool = True) -> Self:
        """As in torch; frozen trunks keep their batch statistics."""
        super().train(mode)
        if self._frozen:
            self.trunks.eval()
        return self


class Vgg16Trunk(nn.Module):
    """VGG16 up to the activation after its last convolution: N,512,H/16,W/16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16(weights=None).features[:30]

    def forward(self, x: Tensor) -> Tensor:
        """x: N,3,H,W."""
        maps: Tensor = self.features(x)
        return maps


class DenseNet121Trunk(nn.Module):
    """DenseNet-121 up to `denseblock3.denselayer9.norm1`, without its ReLU: N,512,H/16,W/16."""

    def __init__(self) -> None:
        super().__init__()
        whole = densenet121(weights=None).features
        stem = [n for n, _ in whole.named_children()]
        stem = stem[: stem.index("denseblock3")]
        self.features = nn.Sequential(OrderedDict((n, getattr(whole, n)) for n in stem))
        layers = {f"denselayer{i}": whole.denseblock3[f"denselayer{i}"] for i in range(1, 9)}
        last = nn.ModuleDict({"norm1": whole.denseblock3["denselayer9"].norm1})
        self._stem, self._layers = len(stem), len(layers)
        self.features.add_module("denseblock3", nn.ModuleDict({**layers, "denselayer9": last}))

    def forward(self, x: Tensor) -> Tensor:
        """x: N,3,H,W."""
        x = self.features[: self._stem](x)
        block = self.features.get_submodule("denseblock3")
        parts = [x]
        for i in range(1, self._layers + 1):
            parts.append(block.get_submodule(f"denselayer{i}")(parts))
        maps: Tensor = block.get_submodule("denselayer9.norm1")(torch.cat(parts, 1))
        return maps


class ResNet50Trunk(nn.Module):
    """ResNet-50 up to layer3: N,1024,H/16,W/16. The paper gives no tap: this grid fits the other."""

    def __init__(self) -> None:
        super().__init__()
        whole = resnet50(weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            self.add_module(name, getattr(whole, name))

    def forward(self, x: Tensor) -> Tensor:
        """x: N,3,H,W."""
        for layer in self.children():
            x = layer(x)
        return x


class MobileNetTrunk(nn.Module):
    """MobileNetV2 up to the expansion of block 14: N,576,H/16,W/16.

    The paper says MobileNet and gives no tap; torchvision has version 2, and this grid fits.
    """

    def __init__(self) -> None:
        super().__init__()
        features = mobilenet_v2(weights=None).features
        self.features = nn.Sequential(*features[:14], _Expansion(features[14].conv[0]))

    def forward(self, x: Tensor) -> Tensor:
        """x: N,3,H,W."""
        maps: Tensor = self.features(x)
        return maps


class _Expansion(nn.Module):
    """The first layer of an inverted residual, under its own name."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(layer)

    def forward(self, x: Tensor) -> Tensor:
        widened: Tensor = self.conv(x)
        return widened


def vgg16_and_densenet121(classes: int) -> Fusion:
    """The paper's best: VGG16 on the original, DenseNet-121 on the segmented image."""
    trunks = {"vgg16": Vgg16Trunk(), "densenet121": DenseNet121Trunk()}
    return Fusion(trunks, 512 + 512, classes)


def resnet50_and_densenet121(classes: int) -> Fusion:
    """ResNet-50 in VGG16's place."""
    trunks = {"resnet50": ResNet50Trunk(), "densenet121": DenseNet121Trunk()}
    return Fusion(trunks, 1024 + 512, classes)


def mobilenet_and_densenet121(classes: int) -> Fusion:
    """MobileNet in VGG16's place."""
    trunks = {"mobilenet_v2": MobileNetTrunk(), "densenet121": DenseNet121Trunk()}
    return Fusion(trunks, 576 + 512, classes)
