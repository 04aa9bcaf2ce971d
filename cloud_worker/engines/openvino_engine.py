"""OpenVINO on the CPU, from the bundle's ONNX graph and the weights it points into; needs no torch.

Every tile is an inference of its own on a stream of one thread: on a CPU that is faster than batching,
a tile's answer cannot depend on its neighbours in a batch, and none waits for a batch to end.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from cloud_worker.engines.engine import (
    Batch,
    EngineUnavailableError,
    Outputs,
    Precision,
    join_outputs,
)
from cloud_worker.models.bundle_folder import Bundle


class OpenVinoEngine:
    """One compiled network with as many streams as threads."""

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, precision: Precision = "auto"
    ) -> None:
        shape = bundle.card.preprocessing
        self._shape = (3, shape.height_px, shape.width_px)
        stride = bundle.stride
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
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._threads):
            self._free.put(self._compiled.create_infer_request())
        self._together = ThreadPoolExecutor(self._threads, "stream")

    @property
    def name(self) -> str:
        """`openvino-<precision>`."""
        return f"openvino-{self._precision}"

    @property
    def precision(self) -> str:
        """What the CPU's convolutions run in."""
        return self._precision

    @property
    def streams(self) -> int:
        """One per thread."""
        return self._threads

    @property
    def batch_size(self) -> int:
        """A stream runs one tile at a time."""
        return 1

    def infer(self, batch: Batch) -> Outputs:
        """float32 N,3,H,W -> outputs; each tile's answer is the same in any batch."""
        if batch.shape[1:] != self._shape:
            raise ValueError(f"need N,{self._shape}, got {batch.shape}")
        if len(batch) < 2:
            return self._run(batch[0]) if len(batch) else self._nothing()
        return join_outputs(list(self._together.map(self._run, batch)))

    def _run(self, tile: Batch) -> Outputs:
        """One tile on the next free stream."""
        request = self._free.get()
        try:
            tile = np.ascontiguousarray(tile[None], np.float32)
            answer = request.infer({0: tile}, share_inputs=True, share_outputs=True)
            # Copied before the request's buffers are used again.
            return Outputs(*(answer[name].copy() for name in ("logits", "features", "maps")))
        finally:
            self._free.put(request)

    def warm_up(self) -> None:
        """One inference per stream, one after the other.

        The first arrays that OpenVINO's binding takes make it look for numpy under a lock of C++ that
        knows nothing of Python's: two threads at once can wait for each other for ever.
        """
        for _ in range(self._threads):
            self._run(np.zeros(self._shape, np.float32))

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
