"""Both engines say what torch in float32 says, whatever the batch, and the default needs no torch."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_worker.engines.engine import (
    EngineUnavailableError,
    Outputs,
    join_outputs,
    measure_images_per_s,
    open_engine,
)
from cloud_worker.engines.torch_engine import graph_size
from cloud_worker.models.bundle import Bundle

pytestmark = pytest.mark.timeout(240)  # the first test exports the bundle it needs


def noise(count: int, seed: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 3, 64, 64), dtype=np.float32)


def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(params=["resnet34_bundle", "densenet121_bundle"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Bundle)
    return made


def test_openvino_in_single_precision_equals_the_torch_reference(bundle: Bundle) -> None:
    images = noise(5)
    reference = open_engine(bundle, "torch", device="cpu").infer(images)
    outputs = open_engine(bundle, "openvino", precision="f32").infer(images)
    for name in ("logits", "features", "maps"):
        assert distance(getattr(outputs, name), getattr(reference, name)) < 1e-4


def test_openvino_as_served_stays_close_to_the_reference_and_names_the_same_labels(
    bundle: Bundle,
) -> None:
    images = noise(12)
    reference = open_engine(bundle, "torch", device="cpu").infer(images)
    outputs = open_engine(bundle, "openvino").infer(images)
    # Random heads sum features to logits near 0, so the features say how good the arithmetic is.
    assert distance(outputs.features, reference.features) < 6e-2
    assert distance(outputs.logits, reference.logits) < 1.5e-1
    top_two = np.sort(reference.logits, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 4 * np.abs(outputs.logits - reference.logits).max()
    assert clear.any()
    same = outputs.logits.argmax(axis=1) == reference.logits.argmax(axis=1)
    assert same[clear].all()


def test_openvino_answers_a_tile_the_same_in_any_batch(resnet34_bundle: Bundle) -> None:
    engine = open_engine(resnet34_bundle, "openvino")
    images = noise(9)
    together = engine.infer(images)
    alone = join_outputs([engine.infer(images[i : i + 1]) for i in reversed(range(9))])
    assert np.array_equal(together.logits, alone.logits[::-1])
    assert np.array_equal(together.maps, alone.maps[::-1])


def test_torch_answers_a_tile_the_same_in_any_batch_beyond_float_noise(
    resnet34_bundle: Bundle,
) -> None:
    engine = open_engine(resnet34_bundle, "torch", device="cpu")
    images = noise(18)
    together = engine.infer(images)
    alone = join_outputs([engine.infer(images[i : i + 1]) for i in range(18)])
    assert distance(together.logits, alone.logits) < 1e-5


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_an_engine_names_itself_and_its_precision(kind: str, resnet34_bundle: Bundle) -> None:
    if kind == "openvino":
        engine = open_engine(resnet34_bundle, "openvino")
        assert engine.precision in ("f32", "bf16", "f16")
        assert engine.name == f"openvino-{engine.precision}"
        exact = open_engine(resnet34_bundle, "openvino", precision="f32")
        assert exact.name == "openvino-f32"
    else:
        assert open_engine(resnet34_bundle, "torch", device="cpu").name == "torch-cpu-f32"


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_no_tiles_give_no_answers(kind: str, resnet34_bundle: Bundle) -> None:
    engine = (
        open_engine(resnet34_bundle, "openvino")
        if kind == "openvino"
        else open_engine(resnet34_bundle, "torch", device="cpu")
    )
    outputs = engine.infer(noise(0))
    assert outputs.logits.shape == (0, 5) and outputs.features.shape == (0, 512)
    assert outputs.maps.shape == (0, 512, 2, 2)


def test_another_input_size_is_a_bug_that_is_named(resnet34_bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="need N"):
        open_engine(resnet34_bundle, "openvino").infer(np.zeros((1, 3, 32, 32), np.float32))


def test_the_measured_rate_is_a_rate(resnet34_bundle: Bundle) -> None:
    engine = open_engine(resnet34_bundle, "openvino")
    assert 1 < measure_images_per_s(engine, resnet34_bundle, for_s=0.1) < 1e6


def test_asking_for_cuda_where_there_is_none_is_refused(resnet34_bundle: Bundle) -> None:
    import torch

    with pytest.raises(EngineUnavailableError, match="openvino runs on a CPU"):
        open_engine(resnet34_bundle, "openvino", device="cuda")
    if not torch.cuda.is_available():
        with pytest.raises(EngineUnavailableError, match="no CUDA device"):
            open_engine(resnet34_bundle, "torch", device="cuda")


def test_torch_missing_is_said_with_the_extra_that_brings_it(
    resnet34_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailableError, match="extra `gpu`"):
        open_engine(resnet34_bundle, "torch")


def test_the_openvino_engine_imports_no_torch(resnet34_bundle: Bundle) -> None:
    code = (
        "import sys, numpy as np\n"
        "from cloud_worker.engines.engine import open_engine\n"
        "from cloud_worker.models.bundle import load_bundle\n"
        f"bundle = load_bundle({str(resnet34_bundle.folder)!r})\n"
        "engine = open_engine(bundle, 'openvino')\n"
        "assert engine.infer(np.zeros((2, 3, 64, 64), np.float32)).logits.shape == (2, 5)\n"
        "found = {'torch', 'torchvision', 'onnx'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50, cwd=root)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (33, 64), (64, 64)])
def test_a_batch_is_padded_to_the_next_captured_size(count: int, size: int) -> None:
    assert graph_size(count) == size


@pytest.mark.gpu
def test_cuda_graphs_in_bf16_agree_with_the_reference(bundle: Bundle) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU on this machine")
    engine = open_engine(bundle, "torch", device="cuda")
    assert engine.name == "torch-cuda-bf16"
    reference = open_engine(bundle, "torch", device="cpu")
    for count in (1, 3, 64, 70):
        images = noise(count, seed=count)
        outputs: Outputs = engine.infer(images)
        assert distance(outputs.features, reference.infer(images).features) < 6e-2
