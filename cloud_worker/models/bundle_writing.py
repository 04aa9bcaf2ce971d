"""Writing a bundle: weights, graph and card, checked against torch before anything is replaced.

Refuses a network whose exported graph and torch disagree. Needs torch, onnx and OpenVINO.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.bundle_folder import (
    CARD_FILE,
    GRAPH_FILE,
    WEIGHTS_FILE,
    Bundle,
    card_digest,
    file_entry,
    load_folder,
)
from cloud_worker.models.card import BundleCard
from cloud_worker.models.registry import architecture

if TYPE_CHECKING:
    from torch import nn

LARGEST_EXPORT_ERROR = 1e-3
"""Relative L2 distance between OpenVINO's and torch's float32 outputs on random images."""
LARGE_ENDINGS = (".bank", ".basis")
"""How the names of a score's largest parts end: kept vectors and directions."""


def write_bundle(
    folder: Path,
    network: nn.Module,
    card: BundleCard,
    *,
    ood_tensors: Mapping[str, NDArray[Any]] | None = None,
    seen: Mapping[str, NDArray[np.int64]] | None = None,
    half: bool = True,
) -> Bundle:
    """Write the three files and return the checked bundle; fills in the card's files and digest.

    `ood_tensors` are those of card.ood, in float32 (kept vectors and directions in half precision with
    `half`, which moves distances by less than 0.01, and thresholds are near 2); `seen` holds the digests
    of each part's images, by the names of training/seen.py. An existing bundle in `folder` is replaced.
    Raises ExportError where OpenVINO and torch disagree on the written bundle, and for a network
    that needs more than the original image and does not make it itself.
    """
    from safetensors.numpy import save_file

    from cloud_worker.models import export

    row = architecture(card.architecture)
    if row.inputs != ("original",) and getattr(network, "segment", None) is None:
        raise export.ExportError(
            f"{row.title} needs {' and '.join(row.inputs)}: a bundle is served with the original only"
        )
    named = set(ood_tensors or {})
    if named != set(card.ood.tensors if card.ood else ()):
        raise ValueError(f"card.ood and ood_tensors name different tensors: {sorted(named)}")
    weights = export.weights_of(network, half=half)
    extra = {
        name: np.ascontiguousarray(
            a, np.float16 if half and name.endswith(LARGE_ENDINGS) else np.float32
        )
        for name, a in (ood_tensors or {}).items()
    }
    extra |= {n: np.ascontiguousarray(a, dtype=np.int64) for n, a in (seen or {}).items()}
    shape = card.preprocessing
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=folder.parent) as name:
        made = Path(name)
        save_file({**weights, **extra}, made / WEIGHTS_FILE, metadata={"format": "pt"})
        graph = export.export_graph(
            network,
            weights,
            made / WEIGHTS_FILE,
            height_px=shape.height_px,
            width_px=shape.width_px,
        )
        (made / GRAPH_FILE).write_bytes(graph)
        _check_agreement(made, export.rounded_copy(network, weights), card)
        files = {n: file_entry(made / n) for n in (WEIGHTS_FILE, GRAPH_FILE)}
        full = card.model_copy(update={"files": files, "digest": ""})
        full = full.model_copy(update={"digest": card_digest(full)})
        text = json.dumps(full.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
        (made / CARD_FILE).write_text(text + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for n in (WEIGHTS_FILE, GRAPH_FILE, CARD_FILE):
            (made / n).replace(folder / n)
    return load_folder(folder)


def _check_agreement(folder: Path, reference: nn.Module, card: BundleCard) -> None:
    """Run the written graph with OpenVINO in float32 beside torch; ExportError if they differ."""
    import openvino
    import torch

    from cloud_worker.models.export import OUTPUT_NAMES, ExportError

    rng = np.random.default_rng(20)
    shape = (2, 3, card.preprocessing.height_px, card.preprocessing.width_px)
    images = rng.standard_normal(shape, dtype=np.float32)
    compiled = openvino.Core().compile_model(
        folder / GRAPH_FILE, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    answer = compiled(images)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(images))
    for name, want in zip(OUTPUT_NAMES, expected, strict=True):
        got, wanted = np.asarray(answer[name]), want.numpy()
        error = float(np.linalg.norm(got - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
        if not error <= LARGEST_EXPORT_ERROR:
            raise ExportError(f"{name} differ between OpenVINO and torch: relative L2 {error:.2g}")
