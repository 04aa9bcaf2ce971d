"""The table of architectures, one literal row each; refuses a name that is not in it.

Importing this module imports no torch: a row's builder does, when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class UnknownArchitectureError(LookupError):
    """The name is not a row of ARCHITECTURES."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network that ends in global average pooling and one linear layer."""

    name: str
    title: str
    source: str
    """Which system of the papers it belongs to."""
    parameters_5_classes: int
    feature_channels: int
    stride: int
    """Input pixels per pixel of the last feature maps."""
    head: str
    """Name of the linear layer: `<head>.weight` is K,C and `<head>.bias` is K."""
    build: Callable[[int], nn.Module]
    """Number of classes -> torch module whose forward is x -> (logits, features, maps)."""


def _densenet121(classes: int) -> nn.Module:
    from cloud_worker.models import networks

    return networks.densenet121(classes)


def _resnet34(classes: int) -> nn.Module:
    from cloud_worker.models import networks

    return networks.resnet34(classes)


ARCHITECTURES: dict[str, Architecture] = {
    "densenet121": Architecture(
        "densenet121", "DenseNet-121", "Bibi et al. 2020", 6_958_981, 1024, 32, "classifier",
        _densenet121,
    ),
    "resnet34": Architecture(
        "resnet34", "ResNet-34", "Bibi et al. 2020", 21_287_237, 512, 32, "fc", _resnet34
    ),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """The row called `name`, or UnknownArchitectureError."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise UnknownArchitectureError(name) from None


def build_network(name: str, classes: int) -> nn.Module:
    """A torch module of that architecture with random weights and `classes` outputs."""
    return architecture(name).build(classes)
