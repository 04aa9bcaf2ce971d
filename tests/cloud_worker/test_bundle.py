"""A bundle is found by name, names its digest, and is refused when anything in it changed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load_file
from torch import nn

from cloud_worker.models import bundle as bundles
from cloud_worker.models.bundle import (
    Bundle,
    BundleRefusedError,
    NoSuchBundleError,
    find_bundle,
    list_bundles,
    load_bundle,
    refused_bundles,
    write_bundle,
)
from cloud_worker.models.card import BundleCard, ClassCard, Meaning
from cloud_worker.models.export import ExportError, tensor_places, weights_of

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs


@pytest.fixture
def copy(resnet34_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A writable copy of the bundle, alone on the search path."""
    folder = tmp_path / "store" / "random5-resnet34"
    shutil.copytree(resnet34_bundle.folder, folder)
    monkeypatch.setenv("HEMOWIRE_BUNDLES", str(folder.parent))
    monkeypatch.setattr(bundles, "USER_FOLDER", tmp_path / "none")
    monkeypatch.setattr(bundles, "PACKAGED", tmp_path / "none")
    return folder


def test_bundle_is_named_by_task_architecture_and_digest(resnet34_bundle: Bundle) -> None:
    assert resnet34_bundle.name == f"random5-resnet34@{resnet34_bundle.digest[:8]}"
    assert len(resnet34_bundle.digest) == 64


def test_bundle_is_found_by_path_name_pinned_name_and_architecture(copy: Path) -> None:
    name = load_bundle(copy).name
    for asked in (str(copy), "random5-resnet34", name):
        assert load_bundle(asked).name == name
    assert find_bundle("resnet34").name == name
    assert [b.name for b in list_bundles()] == [name]


def test_a_pinned_name_with_another_digest_is_not_found(copy: Path) -> None:
    with pytest.raises(NoSuchBundleError, match="random5-resnet34@"):
        load_bundle("random5-resnet34@00000000")


def test_an_architecture_without_bundle_is_told_the_training_command(copy: Path) -> None:
    with pytest.raises(
        NoSuchBundleError,
        match="hemowire train --recipe synthetic5 --arch densenet121 --data simulated --out BUNDLE",
    ):
        find_bundle("densenet121")


def test_a_path_without_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSuchBundleError, match="no bundle at"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
def test_a_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleRefusedError, match=name):
        load_bundle("random5-resnet34")
    assert list_bundles() == [] and len(refused_bundles()) == 1


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
def test_a_missing_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleRefusedError, match=f"{name} is missing"):
        load_bundle(copy)


def change_card(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    change(card)
    (folder / "bundle.json").write_text(json.dumps(card))


def test_a_changed_card_is_refused(copy: Path) -> None:
    change_card(
        copy, lambda c: c.update(thresholds={"t_acute": 0.5, "t_chronic": 1, "abstention": 0})
    )
    with pytest.raises(BundleRefusedError, match=r"bundle\.json was changed"):
        load_bundle(copy)


def test_a_card_of_a_newer_version_is_refused_by_name(copy: Path) -> None:
    change_card(copy, lambda c: c.update(version=2))
    with pytest.raises(BundleRefusedError, match="card version 2"):
        load_bundle(copy)


def test_a_card_that_is_not_json_or_not_a_card_is_refused(copy: Path) -> None:
    (copy / "bundle.json").write_text("no")
    with pytest.raises(BundleRefusedError, match="not JSON"):
        load_bundle(copy)
    (copy / "bundle.json").write_text("[]")
    with pytest.raises(BundleRefusedError, match=r"not a hemowire\.bundle card"):
        load_bundle(copy)


def test_the_graph_holds_no_weights_and_no_paths(resnet34_bundle: Bundle) -> None:
    assert resnet34_bundle.graph_file.stat().st_size < 100_000
    model = onnx.load(resnet34_bundle.graph_file, load_external_data=False)
    assert all(
        i.data_location == onnx.TensorProto.EXTERNAL and not i.raw_data
        for i in model.graph.initializer
    )
    data = resnet34_bundle.graph_file.read_bytes()
    assert not any(word in data for word in (b".py", b"pkg.torch", b"namespace", b"stack_trace"))
    assert [o.name for o in model.graph.output] == ["logits", "features", "maps"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    onnx.checker.check_model(str(resnet34_bundle.graph_file))


def test_initializers_read_through_onnx_equal_the_safetensors_file(resnet34_bundle: Bundle) -> None:
    stored = load_file(resnet34_bundle.weights_file)
    model = onnx.load(resnet34_bundle.graph_file)
    assert len(model.graph.initializer) > 100
    for initializer in model.graph.initializer:
        array = onnx.numpy_helper.to_array(initializer)
        assert array.dtype == stored[initializer.name].dtype
        assert np.array_equal(array, stored[initializer.name])


def test_vectors_stay_in_single_precision(resnet34_bundle: Bundle) -> None:
    for name, array in resnet34_bundle.tensors().items():
        half = array.ndim >= 2 and name != "ood.centres"
        assert array.dtype == (np.float16 if half else np.float32), name


def test_tensor_places_are_where_the_bytes_are(resnet34_bundle: Bundle) -> None:
    stored = load_file(resnet34_bundle.weights_file)
    data = resnet34_bundle.weights_file.read_bytes()
    for name, (offset, length) in tensor_places(resnet34_bundle.weights_file).items():
        assert data[offset : offset + length] == stored[name].tobytes()


def test_half_precision_costs_little(resnet34_network: nn.Module, resnet34_bundle: Bundle) -> None:
    from cloud_worker.engines.torch_engine import load_network

    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        exact, stored = resnet34_network(images)[0], load_network(resnet34_bundle)(images)[0]
    assert torch.linalg.norm(exact - stored) / torch.linalg.norm(exact) < 5e-3


def test_weights_beyond_half_precision_or_not_finite_are_refused() -> None:
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight[0, 0] = 1e6
    with pytest.raises(ExportError, match="exceeds half precision"):
        weights_of(network, half=True)
    with torch.no_grad():
        network.weight[0, 0] = torch.nan
    with pytest.raises(ExportError, match="not finite"):
        weights_of(network, half=False)


def test_ood_tensors_must_be_those_of_the_card(
    tmp_path: Path, resnet34_network: nn.Module, make_card: Callable[..., BundleCard]
) -> None:
    with pytest.raises(ValueError, match=r"card\.ood"):
        write_bundle(tmp_path / "x", resnet34_network, make_card("resnet34", ood=True))


def test_loading_a_bundle_imports_no_torch(resnet34_bundle: Bundle) -> None:
    code = (
        "import sys; from cloud_worker.models.bundle import load_bundle; "
        f"b = load_bundle({str(resnet34_bundle.folder)!r}); b.head(); "
        "assert not {'torch', 'onnx', 'openvino'} & set(sys.modules), 'imported'"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50, cwd=root)


def test_cards_that_diagnosis_forbids_are_refused(make_card: Callable[..., BundleCard]) -> None:
    facts = make_card("resnet34").model_dump(by_alias=True)

    def card(**changes: object) -> BundleCard:
        return BundleCard.model_validate({**facts, **changes})

    accuser = ClassCard(name="A", key="a", meaning=Meaning.ACUTE, display="a")
    with pytest.raises(ValidationError, match="only ever accuse"):
        card(classes=[accuser, accuser.model_copy(update={"key": "b"})])
    with pytest.raises(ValidationError, match="must differ"):
        card(classes=[accuser, accuser])
    with pytest.raises(ValidationError, match="must not be shown"):
        card(classes=[accuser, {**accuser.model_dump(), "key": "b", "display": "Healthy"}])
    with pytest.raises(ValidationError, match=r"less than or equal to 0\.5"):
        card(thresholds={"t_acute": 0.6, "t_chronic": 0.5, "abstention": 0.5})
    with pytest.raises(ValidationError, match="Extra inputs"):
        card(surprise=1)
