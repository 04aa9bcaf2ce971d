"""The networks as torch modules that return (logits, features, maps); refuses to hold any weights.

Each class is torchvision's own, so parameter names are torchvision's own too: a bundle's
safetensors file loads into a plain `torchvision.models.densenet121(num_classes=5)`. Imports torch:
only the registry's builders import this module, and only when they are called.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock, ResNet

Outputs = tuple[Tensor, Tensor, Tensor]


class DenseNetWithMaps(DenseNet):  # type: ignore[misc]  # torchvision ships no types
    """DenseNet whose forward also returns the pooled features and the last feature maps."""

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,C; maps N,C,H/32,W/32."""
        maps = torch.relu(self.features(x))
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.classifier(features), features, maps


class ResNetWithMaps(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """ResNet whose forward also returns the pooled features and the last feature maps."""

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,C; maps N,C,H/32,W/32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.fc(features), features, maps


def densenet121(classes: int) -> nn.Module:
    """DenseNet-121 with random weights and a linear head of `classes` outputs."""
    return DenseNetWithMaps(32, (6, 12, 24, 16), 64, num_classes=classes)


def resnet34(classes: int) -> nn.Module:
    """ResNet-34 with random weights and a linear head of `classes` outputs."""
    return ResNetWithMaps(BasicBlock, [3, 4, 6, 3], num_classes=classes)
