"""The one-input networks as torch modules that return (logits, features, maps); they hold no weights.

Each class is torchvision's own, so parameter names are torchvision's own too: a bundle's
safetensors file loads into a plain `torchvision.models.densenet121(num_classes=5)`. Imports torch:
only the registry imports this module, and only when a network is built.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.densenet import DenseNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, cfgs, make_layers

from cloud_worker.models import fusion
from cloud_worker.models.ac_gan import AcGanClassifier

Outputs = tuple[Tensor, Tensor, Tensor]


class DenseNetWithMaps(DenseNet):  # type: ignore[misc]  # torchvision ships no types
    """DenseNet whose forward also returns the pooled features and the last feature maps."""

    _has_fine_maps = False

    def halve_output_stride(self) -> None:
        """From 32 to 16 with the same weights: the last block looks at every second place too.

        Its 3x3 kernels are dilated by two (a trous: Chen et al., DeepLab), so what it computes at an
        old place stays as it was; maps are twice as fine and logits are means over four times as many
        places. It costs a ninth more.
        """
        self.features.transition3.pool = _EveryPair()
        for layer in self.features.denseblock4.children():
            layer.conv2.dilation = layer.conv2.padding = (2, 2)
        self._has_fine_maps = True

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,C; maps N,C,H/32,W/32 (or 16)."""
        maps = torch.relu(self.features(x))
        if self._has_fine_maps:
            # Pairs lie half a place to the right and below: their means lie where the places are.
            maps = functional.avg_pool2d(functional.pad(maps, (1, 0, 1, 0), mode="replicate"), 2, 1)
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.classifier(features), features, maps


class _EveryPair(nn.Module):
    """2x2 means at every place, the last row and column with themselves."""

    def forward(self, x: Tensor) -> Tensor:
        """N,C,h,w -> the same shape."""
        padded = functional.pad(x, (0, 1, 0, 1), mode="replicate")
        means: Tensor = functional.avg_pool2d(padded, 2, 1)
        return means


class ResNetWithMaps(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """ResNet whose forward also returns the pooled features and the last feature maps."""

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,C; maps N,C,H/32,W/32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.fc(features), features, maps


class MobileNetV2WithMaps(MobileNetV2):  # type: ignore[misc]  # torchvision ships no types
    """MobileNetV2 whose forward also returns the pooled features and the last feature maps."""

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,1280; maps N,1280,H/32,W/32."""
        maps = self.features(x)
        features = maps.float().mean(dim=(2, 3))  # float32 whatever the convolutions run in
        return self.classifier(features), features, maps


class VggWithMaps(VGG):  # type: ignore[misc]  # torchvision ships no types
    """VGG whose three dense layers read a 7x7 grid: its pooled features serve distances only."""

    def forward(self, x: Tensor) -> Outputs:
        """x: N,3,H,W -> logits N,K; features N,512; maps N,512,H/32,W/32."""
        maps = self.features(x)
        features = maps.float().mean(dim=(2, 3))
        grid = self.avgpool(maps.float())
        return self.classifier(grid.flatten(1)), features, maps


def _densenet121(classes: int) -> nn.Module:
    return DenseNetWithMaps(32, (6, 12, 24, 16), 64, num_classes=classes)


def _resnet34(classes: int) -> nn.Module:
    return ResNetWithMaps(BasicBlock, [3, 4, 6, 3], num_classes=classes)


def _resnet50(classes: int) -> nn.Module:
    return ResNetWithMaps(Bottleneck, [3, 4, 6, 3], num_classes=classes)


def _vgg16(classes: int) -> nn.Module:
    return VggWithMaps(make_layers(cfgs["D"]), num_classes=classes)


def _mobilenet_v2(classes: int) -> nn.Module:
    return MobileNetV2WithMaps(num_classes=classes)


def _mobilenet_v2_dense(classes: int) -> nn.Module:
    """The paper says "dense layer(s)" without a width: one hidden layer of 128 is our reading."""
    network = MobileNetV2WithMaps(num_classes=classes)
    network.classifier = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(1280, 128), nn.ReLU(), nn.Linear(128, classes)
    )
    return network


#: Row of the table of architectures -> number of classes -> module with random weights.
BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "densenet121": _densenet121,
    "resnet34": _resnet34,
    "resnet50": _resnet50,
    "vgg16": _vgg16,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v2_dense": _mobilenet_v2_dense,
    "ac_gan": AcGanClassifier,
    "fusion": fusion.vgg16_and_densenet121,
    "fusion_original": fusion.vgg16_and_densenet121,
    "fusion_segmented": fusion.vgg16_and_densenet121,
    "fusion_resnet50": fusion.resnet50_and_densenet121,
    "fusion_mobilenet": fusion.mobilenet_and_densenet121,
}
