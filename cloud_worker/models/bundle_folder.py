"""A bundle's folder of bundle.json, weights.safetensors and model.onnx, read and checked.

Refuses, by name, a bundle that is incomplete, changed or of a newer version. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cloud_worker.models.card import CARD_SCHEMA, CARD_VERSION, BundleCard, BundleFile
from cloud_worker.models.registry import (
    Architecture,
    OutputStrideError,
    architecture,
    stride_of,
)

CARD_FILE, WEIGHTS_FILE, GRAPH_FILE = "bundle.json", "weights.safetensors", "model.onnx"
BESIDE_THE_NETWORK = ("ood.", "seen.")
"""Tensors of the weights file that are not the network's: distances, and digests of training images."""


class BundleRefusedError(ValueError):
    """A bundle is there but cannot be trusted or read."""

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder = folder
        super().__init__(f"bundle {folder}: {problem}")


class NoExactMapError(LookupError):
    """The network does not end in pooling and one linear layer."""

    def __init__(self, row: Architecture) -> None:
        self.architecture = row.name
        super().__init__(f"{row.title} has no exact class-activation map: {row.no_map}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle on disk."""

    card: BundleCard
    folder: Path
    digest: str

    @property
    def name(self) -> str:
        """The name each diagnosis carries, such as `synthetic5-densenet121@3f9c2a17`."""
        return f"{self.card.task}-{self.card.architecture}@{self.digest[:8]}"

    @property
    def has_exact_map(self) -> bool:
        """Whether the network's last maps and one linear layer give the score itself."""
        return architecture(self.card.architecture).map_layer is not None

    @property
    def stride(self) -> int:
        """Input pixels per pixel of the network's maps."""
        return stride_of(self.card.architecture, self.card.output_stride)

    @property
    def weights_file(self) -> Path:
        return self.folder / WEIGHTS_FILE

    @property
    def graph_file(self) -> Path:
        return self.folder / GRAPH_FILE

    def tensors(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Tensors of weights.safetensors whose names start with `prefix`, as they are stored."""
        from safetensors import safe_open

        with safe_open(self.weights_file, framework="numpy") as file:
            return {n: file.get_tensor(n) for n in file.keys() if n.startswith(prefix)}  # noqa: SIM118  # not a dict

    def head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight K,C and bias K of the linear layer behind the pooling, in float32.

        NoExactMapError for a network that does not end so.
        """
        row = architecture(self.card.architecture)
        if row.map_layer is None:
            raise NoExactMapError(row)
        tensors = self.tensors(f"{row.map_layer}.")
        weight, bias = tensors[f"{row.map_layer}.weight"], tensors[f"{row.map_layer}.bias"]
        return weight.astype(np.float32), bias.astype(np.float32)


def load_folder(folder: Path) -> Bundle:
    """The bundle in `folder` after all its digests were checked, or BundleRefusedError."""
    folder = folder.resolve()
    for name in (CARD_FILE, WEIGHTS_FILE, GRAPH_FILE):
        if not (folder / name).is_file():
            raise BundleRefusedError(folder, f"{name} is missing")
    card = _read_card(folder)
    for name in (WEIGHTS_FILE, GRAPH_FILE):
        if card.files.get(name) != file_entry(folder / name):
            raise BundleRefusedError(
                folder, f"{name} is not the file that {CARD_FILE} was written for"
            )
    if card.digest != card_digest(card):
        raise BundleRefusedError(folder, f"{CARD_FILE} was changed after it was written")
    try:
        stride_of(card.architecture, card.output_stride)
    except OutputStrideError as problem:
        raise BundleRefusedError(folder, str(problem)) from problem
    return Bundle(card=card, folder=folder, digest=card.digest)


def _read_card(folder: Path) -> BundleCard:
    try:
        raw = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BundleRefusedError(folder, f"{CARD_FILE} is not JSON: {problem}") from problem
    if not isinstance(raw, dict) or raw.get("schema") != CARD_SCHEMA:
        raise BundleRefusedError(folder, f"{CARD_FILE} is not a {CARD_SCHEMA} card")
    version = raw.get("version")
    if not isinstance(version, int) or version > CARD_VERSION:
        raise BundleRefusedError(
            folder, f"card version {version}; this program reads {CARD_VERSION}"
        )
    try:
        return BundleCard.model_validate(raw)
    except ValidationError as problem:
        raise BundleRefusedError(
            folder, f"{CARD_FILE} does not fit its schema: {problem}"
        ) from problem


def card_digest(card: BundleCard) -> str:
    """sha256 of the card without its own digest, as canonical JSON."""
    facts = card.model_dump(mode="json", by_alias=True, exclude={"digest"})
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_entry(file: Path) -> BundleFile:
    """Digest and size of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return BundleFile(sha256=digest, size_bytes=file.stat().st_size)
