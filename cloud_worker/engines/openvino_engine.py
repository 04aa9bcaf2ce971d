"""OpenVINO on the CPU, from the bundle's ONNX graph and the weights it points into; needs no torch.

Every tile is an inference of its own, many in flight on one-thread streams: on a CPU that is faster
than batching, and a tile's answer cannot depend on its neighbours in a batch.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import openvino

from cloud_worker.engines.engine import Batch, EngineUnavailableError, Outputs, Precision
from cloud_worker.models.bundle_folder import Bundle
from cloud_worker.models.registry import architecture


class OpenVinoEngine:
    """One compiled network with as many streams as threads."""

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, precision: Precision = "auto"
    ) -> None:
        shape = bundle.card.preprocessing
        self._shape = (3, shape.height_px, shape.width_px)
        stride = architecture(bundle.card.architecture).stride
        self._map_shape = (-(-shape.height_px // stride), -(-shape.width_px // stride))
        self._threads = threads or _usable_cores()
        core = openvino.Core()
        if "CPU" not in core.available_devices:
            raise EngineUnavailableError("OpenVINO finds no CPU device it can run on")
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._threads,
            "ENABLE_CPU_PINNING": False,
        }
        if precision == "f32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = core.read_model(bundle.graph_file)
        model.reshape([1, *self._shape])
        self._compiled = core.compile_model(model, "CPU", settings)
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        self._precision = {"bf16": "bf16", "f16": "f16"}.get(hint.get_type_name(), "f32")
        self._queue = openvino.AsyncInferQueue(self._compiled, self._threads)
        self._queue.set_callback(_keep)

    @property
    def name(self) -> str:
        """`openvino-<precision>`."""
        return f"openvino-{self._precision}"

    @property
    def precision(self) -> str:
        """What the CPU's convolutions run in."""
        return self._precision

    @property
    def batch_size(self) -> int:
        """Enough tiles to keep every stream busy."""
        return 2 * self._threads

    def infer(self, batch: Batch) -> Outputs:
        """float32 N,3,H,W -> outputs; each tile's answer is the same in any batch."""
        if batch.shape[1:] != self._shape:
            raise ValueError(f"need N,{self._shape}, got {batch.shape}")
        results: list[Outputs | None] = [None] * len(batch)
        for i, image in enumerate(batch):
            self._queue.start_async(
                {0: np.ascontiguousarray(image[None], np.float32)}, (results, i)
            )
        self._queue.wait_all()
        done = [r for r in results if r is not None]
        if len(done) != len(batch):
            raise RuntimeError(f"OpenVINO answered {len(done)} of {len(batch)} tiles")
        if not done:
            return self._nothing()
        return Outputs(
            np.concatenate([r.logits for r in done]),
            np.concatenate([r.features for r in done]),
            np.concatenate([r.maps for r in done]),
        )

    def warm_up(self) -> None:
        """One inference per stream."""
        self.infer(np.zeros((self._threads, *self._shape), np.float32))

    def _nothing(self) -> Outputs:
        classes, channels = (int(self._compiled.output(n).shape[1]) for n in ("logits", "features"))
        return Outputs(
            np.empty((0, classes), np.float32),
            np.empty((0, channels), np.float32),
            np.empty((0, channels, *self._map_shape), np.float32),
        )


def _usable_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep(request: Any, where: tuple[list[Outputs | None], int]) -> None:
    """Copy one request's outputs out before its buffers are used again."""
    results, i = where
    results[i] = Outputs(
        *(request.get_tensor(name).data.copy() for name in ("logits", "features", "maps"))
    )
