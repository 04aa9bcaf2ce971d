"""The table of architectures, one literal row each; refuses a name that is not in it.

Importing this module imports no torch: `build_network` does. Counts follow the papers: `parameters`
is what torch's parameters() sum to, `with_statistics` adds the batch-norm means and variances, as
Keras counts. (Just over 250 lines: one literal table.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

BIBI = "Bibi et al. 2020"
KARAR = "Karar et al. 2022"
ISLAM = "Islam et al. 2024"
PAVITHRA = "Pavithra"

FIVE = ("ALL", "AML", "CLL", "CML", "Healthy")
FOUR = ("Benign", "Early", "Pre", "Pro")
THREE = ("ALL", "AML", "Normal")
TWO = ("ALL", "Normal")

GRID_HEAD = "the dense layers read every position of the grid on its own, not the pooled features"
DEEP_HEAD = "several dense layers follow the pooling"


class UnknownArchitectureError(LookupError):
    """The name is not a row of ARCHITECTURES."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")


class OutputStrideError(ValueError):
    """The network cannot have maps of that stride."""

    def __init__(self, row: Architecture, output_stride: int | None) -> None:
        known = [row.stride] if row.finer_stride is None else [row.stride, row.finer_stride]
        super().__init__(
            f"{row.title} cannot have an output stride of {output_stride} px, only "
            f"{' or '.join(map(str, known))}"
        )


@dataclass(frozen=True, slots=True)
class Use:
    """What one paper does with a network, and its size then."""

    paper: str
    classes: tuple[str, ...]
    input_px: int
    """Side of the paper's square input."""
    parameters: int
    with_statistics: int
    trainable: int | None = None
    """Where the paper freezes the trunk: what is left to learn."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network: x -> (logits, features N,C, maps N,C,h,w), where features are the maps' means."""

    name: str
    title: str
    uses: tuple[Use, ...]
    feature_channels: int
    stride: int
    """Input pixels per pixel of the last feature maps."""
    head: str
    """Name of what follows the maps: a linear layer, or the module that holds the dense ones."""
    map_layer: str | None
    """The linear layer behind the pooling: its `weight` K,C and `bias` K give the exact map."""
    no_map: str = ""
    """Why there is no exact map, where `map_layer` is None."""
    inputs: tuple[str, ...] = ("original",)
    """Which pictures of a field it sees: the original, the segmented one, or both."""
    only_px: int | None = None
    """The only side of the input that fits; None where any does."""
    backbones: tuple[tuple[str, str], ...] = ()
    """torchvision network -> prefix of its tensors here: where ImageNet weights go."""
    assumed: str = ""
    """What the paper leaves open and we chose."""
    finer_stride: int | None = None
    """The stride that it can be served with in place of its own, with the same weights."""


ARCHITECTURES: dict[str, Architecture] = {
    "densenet121": Architecture(
        "densenet121",
        "DenseNet-121",
        (
            Use(BIBI, FIVE, 224, 6_958_981, 7_042_629),
            Use(KARAR, THREE, 224, 6_956_931, 7_040_579),
            Use(KARAR, TWO, 224, 6_955_906, 7_039_554),
        ),
        1024,
        32,
        head="classifier",
        map_layer="classifier",
        backbones=(("densenet121", ""),),
        finer_stride=16,
        assumed="Karar et al. print 28x28, which its pooling cannot take: 224x224",
    ),
    "resnet34": Architecture(
        "resnet34",
        "ResNet-34",
        (Use(BIBI, FIVE, 224, 21_287_237, 21_304_261),),
        512,
        32,
        head="fc",
        map_layer="fc",
        backbones=(("resnet34", ""),),
        assumed="Bibi et al. give no input size: 224x224",
    ),
    "resnet50": Architecture(
        "resnet50",
        "ResNet-50",
        (
            Use(KARAR, THREE, 224, 23_514_179, 23_567_299),
            Use(KARAR, TWO, 224, 23_512_130, 23_565_250),
        ),
        2048,
        32,
        head="fc",
        map_layer="fc",
        backbones=(("resnet50", ""),),
        assumed="224x224 for a baseline, not the AC-GAN's 28x28",
    ),
    "vgg16": Architecture(
        "vgg16",
        "VGG16",
        (
            Use(KARAR, THREE, 224, 134_272_835, 134_272_835),
            Use(KARAR, TWO, 224, 134_268_738, 134_268_738),
        ),
        512,
        32,
        head="classifier",
        map_layer=None,
        no_map=GRID_HEAD,
        only_px=224,
        backbones=(("vgg16", ""),),
        assumed="28x28 is smaller than its five poolings: 224x224",
    ),
    "mobilenet_v2": Architecture(
        "mobilenet_v2",
        "MobileNetV2",
        (Use(PAVITHRA, FOUR, 256, 2_228_996, 2_263_108),),
        1280,
        32,
        head="classifier",
        map_layer="classifier.1",
        backbones=(("mobilenet_v2", ""),),
        assumed="pooling, dropout 0.2 and one dense layer",
    ),
    "mobilenet_v2_dense": Architecture(
        "mobilenet_v2_dense",
        "MobileNetV2 with a hidden dense layer",
        (Use(PAVITHRA, FOUR, 256, 2_388_356, 2_422_468),),
        1280,
        32,
        head="classifier",
        map_layer=None,
        no_map=DEEP_HEAD,
        backbones=(("mobilenet_v2", ""),),
        assumed="the paper's dense layer(s): one hidden layer of 128 with ReLU",
    ),
    "fusion": Architecture(
        "fusion",
        "VGG16 (original) + DenseNet-121 (segmented)",
        (Use(ISLAM, FOUR, 128, 18_574_580, 18_598_836, trainable=1_749_556),),
        1024,
        16,
        head="head",
        map_layer=None,
        no_map=DEEP_HEAD,
        inputs=("original", "segmented"),
        backbones=(("vgg16", "trunks.vgg16."), ("densenet121", "trunks.densenet121.")),
        assumed="the paper swaps the names of the two taps",
    ),
    "fusion_original": Architecture(
        "fusion_original",
        "VGG16 + DenseNet-121, both on the original",
        (Use(ISLAM, FOUR, 128, 18_574_580, 18_598_836, trainable=1_749_556),),
        1024,
        16,
        head="head",
        map_layer=None,
        no_map=DEEP_HEAD,
        backbones=(("vgg16", "trunks.vgg16."), ("densenet121", "trunks.densenet121.")),
        assumed="one picture goes to both trunks",
    ),
    "fusion_segmented": Architecture(
        "fusion_segmented",
        "VGG16 + DenseNet-121, both on the segmented",
        (Use(ISLAM, FOUR, 128, 18_574_580, 18_598_836, trainable=1_749_556),),
        1024,
        16,
        head="head",
        map_layer=None,
        no_map=DEEP_HEAD,
        inputs=("segmented",),
        backbones=(("vgg16", "trunks.vgg16."), ("densenet121", "trunks.densenet121.")),
        assumed="one picture goes to both trunks",
    ),
    "fusion_resnet50": Architecture(
        "fusion_resnet50",
        "ResNet-50 (original) + DenseNet-121 (segmented)",
        (Use(ISLAM, FOUR, 128, 12_927_476, 12_982_324, trainable=2_273_844),),
        1536,
        16,
        head="head",
        map_layer=None,
        no_map=DEEP_HEAD,
        inputs=("original", "segmented"),
        backbones=(("resnet50", "trunks.resnet50."), ("densenet121", "trunks.densenet121.")),
        assumed="no tap is given: ResNet-50 up to layer3, on the same grid",
    ),
    "fusion_mobilenet": Architecture(
        "fusion_mobilenet",
        "MobileNetV2 (original) + DenseNet-121 (segmented)",
        (Use(ISLAM, FOUR, 128, 4_524_404, 4_565_940, trainable=1_815_092),),
        1088,
        16,
        head="head",
        map_layer=None,
        no_map=DEEP_HEAD,
        inputs=("original", "segmented"),
        backbones=(
            ("mobilenet_v2", "trunks.mobilenet_v2."),
            ("densenet121", "trunks.densenet121."),
        ),
        assumed="no version or tap is given: version 2 up to block 14's expansion, on the same grid",
    ),
    "ac_gan": Architecture(
        "ac_gan",
        "AC-GAN classifier",
        (
            Use(KARAR, THREE, 28, 105_828, 106_020),
            Use(KARAR, TWO, 28, 103_779, 103_971),
        ),
        128,
        8,
        head="classifier",
        map_layer=None,
        no_map=GRID_HEAD,
        only_px=28,
        assumed="the layers: the usual AC-GAN for 28x28; the count includes the source head",
    ),
}


def architecture(name: str) -> Architecture:
    """The row called `name`, or UnknownArchitectureError."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise UnknownArchitectureError(name) from None


def build_network(name: str, classes: int) -> nn.Module:
    """A torch module of that architecture with random weights and `classes` outputs.

    Its forward takes one batch N,3,H,W per picture in the row's `inputs`.
    """
    architecture(name)
    from cloud_worker.models.networks import BUILDERS

    return BUILDERS[name](classes)


def stride_of(name: str, output_stride: int | None) -> int:
    """Input pixels per pixel of the maps; OutputStrideError where the network cannot have that."""
    row = architecture(name)
    if output_stride not in (None, row.stride, row.finer_stride):
        raise OutputStrideError(row, output_stride)
    return output_stride or row.stride


def set_output_stride(network: nn.Module, name: str, output_stride: int | None) -> None:
    """Gives a network as `build_network` makes it this stride; None leaves its own."""
    if stride_of(name, output_stride) != architecture(name).stride:
        from cloud_worker.models.networks import DenseNetWithMaps

        assert isinstance(network, DenseNetWithMaps), "the only row with a finer stride"
        network.halve_output_stride()


def build_served_network(name: str, classes: int, output_stride: int | None = None) -> nn.Module:
    """The same as a bundle holds it: one batch N,3,H,W of originals is all that its forward takes."""
    from cloud_worker.models.fusion import Fusion

    row, network = architecture(name), build_network(name, classes)
    set_output_stride(network, name, output_stride)
    if isinstance(network, Fusion) and "segmented" in row.inputs:
        network.segment_inside(both="original" not in row.inputs)
    return network
