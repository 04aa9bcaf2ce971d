"""Where weights start: a file that fits, ImageNet where it can be had, and the truth about it."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from cloud_worker.models.bundle import load_bundle
from cloud_worker.models.registry import build_network
from training.initial_weights import WeightsError, initial_weights


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    state = torchvision.models.mobilenet_v2(weights=None).state_dict()
    file = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_file({name: t.half() if t.ndim > 1 else t for name, t in state.items()}, file)
    return file, state


@pytest.mark.parametrize("network", ["mobilenet_v2", "mobilenet_v2_dense"])
def test_a_file_fills_the_trunk_and_leaves_a_head_of_other_classes(
    stored: tuple[Path, dict[str, torch.Tensor]], network: str
) -> None:
    file, state = stored
    found = initial_weights(network, str(file))
    assert found.said.startswith("imagenet.safetensors, sha256 ")
    assert not any(name.startswith("classifier.") for name in found.tensors)
    assert {name for name in state if name.startswith("features.")} == set(found.tensors)
    for name, tensor in found.tensors.items():
        assert torch.allclose(tensor, state[name], atol=1e-3)
        assert tensor.dtype in (torch.float32, torch.int64)
    own = build_network(network, 4).state_dict()
    build_network(network, 4).load_state_dict({**own, **found.tensors})


def test_a_file_of_another_network_is_refused_by_name(
    stored: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    file, state = stored
    with pytest.raises(WeightsError, match=r"imagenet.*tensors of resnet34 are missing"):
        initial_weights("resnet34", str(file))
    torch.save({**state, "features.0.0.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.0\.weight has shape \(1,\)"):
        initial_weights("mobilenet_v2", str(tmp_path / "odd.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a file of weights"):
        initial_weights("mobilenet_v2", str(tmp_path / "broken.safetensors"))
    with pytest.raises(WeightsError, match="No such file"):
        initial_weights("mobilenet_v2", str(tmp_path / "none.pth"))


def test_without_a_network_the_weights_are_random_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_off(name: str, weights: str) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.models, "get_model", cut_off)
    said: list[str] = []
    found = initial_weights("densenet121", "imagenet", said.append)
    assert found.tensors == {}
    assert found.said.startswith("random; ImageNet weights could not be fetched")
    assert "Name or service not known" in said[0]


def test_torchvision_s_weights_go_to_each_trunk_of_a_fusion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(3)
    whole = {
        name: getattr(torchvision.models, name)(weights=None)
        for name in ("mobilenet_v2", "densenet121")
    }
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: whole[name])
    found = initial_weights("fusion_mobilenet", "imagenet")
    assert found.said.count("IMAGENET1K_V1") == 2
    network = build_network("fusion_mobilenet", 4)
    network.load_state_dict({**network.state_dict(), **found.tensors})
    kept = network.state_dict()
    for name in ("mobilenet_v2", "densenet121"):
        first = whole[name].state_dict()
        ours = {n.removeprefix(f"trunks.{name}."): t for n, t in kept.items() if f".{name}." in n}
        assert ours
        assert all(torch.equal(tensor, first[n]) for n, tensor in ours.items())


def test_a_network_without_imagenet_weights_says_so() -> None:
    assert initial_weights("ac_gan", "imagenet").said.startswith("random; there are no")
    assert initial_weights("ac_gan", "random").said == "random"


def test_weights_start_from_a_bundle_by_its_name_or_folder() -> None:
    bundle = load_bundle("synthetic5-densenet121")
    found = initial_weights("densenet121", "synthetic5-densenet121")
    assert found.said == f"bundle {bundle.name}"
    assert found.tensors.keys() >= {"features.conv0.weight", "features.norm5.weight"}
    assert not any(name.startswith(("ood.", "seen.")) for name in found.tensors)
    assert initial_weights("densenet121", str(bundle.folder)).said == found.said
    with pytest.raises(WeightsError, match="tensors of resnet34 are missing"):
        initial_weights("resnet34", "synthetic5-densenet121")
    with pytest.raises(WeightsError, match="give a file, a bundle, random or imagenet"):
        initial_weights("densenet121", "synthetic5-nothing")
