"""Where a network's weights start: ImageNet through torchvision, a file, another bundle, or random.

It refuses a file that does not fill the network's trunk, and never says ImageNet where the weights
could not be fetched: then they are random, and the card says so.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import torch
import torchvision

from cloud_worker.models.bundle import Bundle, BundleRefusedError, NoSuchBundleError, load_bundle
from cloud_worker.models.bundle_folder import WEIGHTS_FILE
from cloud_worker.models.registry import Architecture, architecture, build_network

if TYPE_CHECKING:
    from collections.abc import Iterator

RANDOM, IMAGENET = "random", "imagenet"
PATIENCE_S = 15.0

Tensors = dict[str, torch.Tensor]


class WeightsError(ValueError):
    """The file of weights cannot be read or does not fit; the message names file and tensors."""


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Tensors by the network's own names (none: random), and what the card says of them."""

    said: str
    tensors: Tensors = field(default_factory=dict)


def initial_weights(
    network: str, source: str, say: Callable[[str], None] = lambda text: None
) -> InitialWeights:
    """`random`, `imagenet`, a file (.safetensors, .pth) or a bundle for the architecture of that name."""
    row = architecture(network)
    if source == RANDOM:
        return InitialWeights(RANDOM)
    if source != IMAGENET:
        bundle = None if Path(source).is_file() else _bundle(source)
        if bundle is None:
            return _from_file(row, Path(source))
        tensors = _from_file(row, bundle.folder / WEIGHTS_FILE).tensors
        return InitialWeights(f"bundle {bundle.name}", tensors)
    if not row.backbones:
        say(f"{row.title} has no ImageNet weights: starting from random ones")
        return InitialWeights("random; there are no ImageNet weights of this network")
    try:
        tensors = _from_torchvision(row)
    except (OSError, RuntimeError) as error:  # no network, or a download that is not what it said
        reason = error.reason if isinstance(error, URLError) else error
        say(f"ImageNet weights cannot be fetched ({reason}): starting from random ones")
        return InitialWeights(f"random; ImageNet weights could not be fetched ({reason})")
    names = ", ".join(f"{backbone} IMAGENET1K_V1" for backbone, _ in row.backbones)
    return InitialWeights(f"torchvision's ImageNet weights: {names}", _fitting(row, tensors, names))


def _from_torchvision(row: Architecture) -> Tensors:
    tensors: Tensors = {}
    for backbone, prefix in row.backbones:
        with _impatient():
            whole = torchvision.models.get_model(backbone, weights="IMAGENET1K_V1")
        tensors.update({f"{prefix}{name}": t for name, t in whole.state_dict().items()})
    return tensors


@contextmanager
def _impatient() -> Iterator[None]:
    """A network that swallows packets must not hold a training run for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _bundle(name_or_path: str) -> Bundle | None:
    try:
        return load_bundle(name_or_path)
    except NoSuchBundleError:
        return None
    except BundleRefusedError as error:
        raise WeightsError(str(error)) from error


def _from_file(row: Architecture, file: Path) -> InitialWeights:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{file}: {error.strerror}; give a file, a bundle, {RANDOM} or {IMAGENET}"
        ) from error
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load

            tensors: Tensors = load(data)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise what they like on a foreign file
        raise WeightsError(f"{file}: not a file of weights ({error})") from error
    said = f"{file.name}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
    return InitialWeights(said, _fitting(row, tensors, str(file)))


def _fitting(row: Architecture, tensors: Mapping[str, torch.Tensor], where: str) -> Tensors:
    """The tensors that the network has: all of the trunk, and of the head those of its shape."""
    with torch.device("meta"):
        own = build_network(row.name, 2).state_dict()
    trunk = {n for n in own if not n.startswith(f"{row.head}.")}
    needed = {n for n in trunk if not n.endswith("num_batches_tracked")}
    missing = sorted(needed - tensors.keys())
    if missing:
        raise WeightsError(
            f"{where}: {len(missing)} of {len(needed)} tensors of {row.name} are missing, "
            f"such as {missing[0]}"
        )
    for name in sorted(needed):
        if tensors[name].shape != own[name].shape:
            raise WeightsError(
                f"{where}: {name} has shape {tuple(tensors[name].shape)}, "
                f"{row.name} has {tuple(own[name].shape)}"
            )
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name in trunk or (name in own and tensor.shape == own[name].shape)
    }
