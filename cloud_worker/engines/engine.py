"""What an engine is, and opening one; refuses a device that is not there instead of falling back.

`auto` takes torch on CUDA where an NVIDIA GPU and torch are both there, else OpenVINO on the CPU.
Importing this module, and opening the OpenVINO engine, imports no torch.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cloud_worker.models.bundle_folder import Bundle

EngineKind = Literal["auto", "openvino", "torch"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "f32"]
Batch = NDArray[np.float32]


class EngineUnavailableError(RuntimeError):
    """This engine cannot run on this machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network says about N tiles, in float32."""

    logits: Batch
    """N,K."""
    features: Batch
    """N,C: pooled."""
    maps: Batch
    """N,C,h,w: the last feature maps."""


class Engine(Protocol):
    """Runs one bundle's network; at most `streams` threads call `infer` at once."""

    @property
    def name(self) -> str:
        """Such as `openvino-bf16`: engine, device where there is a choice, precision."""

    @property
    def precision(self) -> str:
        """The precision that convolutions run in: `f32` or `bf16`."""

    @property
    def streams(self) -> int:
        """How many batches it runs side by side before another one gains nothing."""

    @property
    def batch_size(self) -> int:
        """The number of tiles from which a larger batch gains nothing to one stream."""

    def infer(self, batch: Batch) -> Outputs:
        """float32 N,3,H,W of the bundle's input size -> outputs in the same order; any N >= 0."""

    def warm_up(self) -> None:
        """Run once, so that the first real image is not slower than the rest."""


def open_engine(
    bundle: Bundle,
    kind: EngineKind = "auto",
    *,
    device: Device = "auto",
    threads: int | None = None,
    precision: Precision = "auto",
) -> Engine:
    """The engine, loaded and warm, or EngineUnavailableError.

    `threads` counts CPU threads (default: the cores this process may use). `precision` "f32"
    forbids bf16, which `auto` takes where the hardware has it.
    """
    chosen = kind
    if kind == "auto":
        chosen = "torch" if device == "cuda" or (device == "auto" and _cuda_there()) else "openvino"
    if chosen == "openvino":
        if device == "cuda":
            raise EngineUnavailableError("engine openvino runs on a CPU; use torch for cuda")
        from cloud_worker.engines.openvino_engine import OpenVinoEngine

        engine: Engine = OpenVinoEngine(bundle, threads=threads, precision=precision)
    else:
        if importlib.util.find_spec("torch") is None:
            raise EngineUnavailableError("engine torch needs torch: install the extra `gpu`")
        from cloud_worker.engines.torch_engine import TorchEngine

        engine = TorchEngine(bundle, device=device, threads=threads, precision=precision)
    engine.warm_up()
    return engine


def _cuda_there() -> bool:
    """Whether a GPU, its driver and torch are there; imports torch only then."""
    if not Path("/dev/nvidiactl").exists() or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def measure_images_per_s(
    engine: Engine, bundle: Bundle, *, for_s: float = 0.5, batch_size: int | None = None
) -> float:
    """Tiles per second with every stream busy, in its own batch size, on noise for at least `for_s`."""
    shape = bundle.card.preprocessing
    size = (batch_size or engine.batch_size, 3, shape.height_px, shape.width_px)
    batch = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    engine.infer(batch)

    def keep_busy(until: float) -> tuple[int, float]:
        done = 0
        while time.monotonic() < until:
            engine.infer(batch)
            done += len(batch)
        return done, time.monotonic()

    started = time.monotonic()
    with ThreadPoolExecutor(engine.streams, "measure") as streams:
        ends = list(streams.map(keep_busy, [started + for_s] * engine.streams))
    return sum(done / (end - started) for done, end in ends)


def join_outputs(parts: Sequence[Outputs]) -> Outputs:
    """Outputs of consecutive batches as one."""
    if len(parts) == 1:
        return parts[0]
    return Outputs(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("logits", "features", "maps")
        )
    )
