"""Torch, from the bundle's safetensors weights: bf16 on CUDA for speed, f32 on a CPU as the reference.

On CUDA the network runs channels_last in bf16 with pooling and the linear layer in float32, and a
batch is padded up to the next captured size and replayed as one CUDA graph. Refuses to run on a CPU
when CUDA was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cloud_worker.engines.engine import (
    Batch,
    Device,
    EngineUnavailableError,
    Outputs,
    Precision,
    join_outputs,
)
from cloud_worker.models.bundle_folder import BESIDE_THE_NETWORK, Bundle
from cloud_worker.models.registry import architecture, build_served_network

GRAPH_SIZES = (1, 2, 4, 8, 16, 32, 64)
CPU_CHUNK = 16


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """One batch size's recorded launch sequence with its fixed input and output memory."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    outputs: tuple[Tensor, Tensor, Tensor]


def load_network(bundle: Bundle) -> nn.Module:
    """The bundle's network in eval mode on the CPU, float32, holding the stored weights exactly."""
    card = bundle.card
    network = build_served_network(card.architecture, len(card.classes), card.output_stride).eval()
    stored = {
        name: torch.from_numpy(array.astype(np.float32))
        for name, array in bundle.tensors().items()
        if not name.startswith(BESIDE_THE_NETWORK)
    }
    missing, unexpected = network.load_state_dict(stored, strict=False)
    wrong = [n for n in missing if not n.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise ValueError(f"bundle {bundle.name}: tensors do not fit the network: {wrong[:5]}")
    return network


class TorchEngine:
    """The network as a torch module on one device."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: Device = "auto",
        threads: int | None = None,
        precision: Precision = "auto",
    ) -> None:
        cuda = torch.cuda.is_available()
        if device == "cuda" and not cuda:
            raise EngineUnavailableError("torch finds no CUDA device; use --engine openvino")
        self._device = torch.device("cuda" if device != "cpu" and cuda else "cpu")
        self._on_cuda = self._device.type == "cuda"
        if threads is not None and not self._on_cuda:
            torch.set_num_threads(threads)
        shape = bundle.card.preprocessing
        self._shape = (3, shape.height_px, shape.width_px)
        self._dtype = torch.bfloat16 if self._on_cuda and precision == "auto" else torch.float32
        network = load_network(bundle)
        if self._on_cuda:
            network = network.to(self._device, self._dtype)
            network = network.to(memory_format=torch.channels_last)
            network.get_submodule(architecture(bundle.card.architecture).head).float()
        self._network = network
        self._graphs: dict[int, CapturedGraph] = {}
        # One memory pool for all sizes: outputs are copied out before another graph replays.
        self._pool = torch.cuda.graph_pool_handle() if self._on_cuda else None

    @property
    def name(self) -> str:
        """`torch-cpu-f32`, `torch-cuda-bf16`."""
        return f"torch-{self._device.type}-{self.precision}"

    @property
    def precision(self) -> str:
        """`bf16` or `f32`."""
        return "bf16" if self._dtype is torch.bfloat16 else "f32"

    @property
    def streams(self) -> int:
        """One: a batch fills the device."""
        return 1

    @property
    def batch_size(self) -> int:
        """The largest captured graph on CUDA; a small batch on a CPU."""
        return GRAPH_SIZES[-1] if self._on_cuda else 8

    def infer(self, batch: Batch) -> Outputs:
        """float32 N,3,H,W -> outputs in float32."""
        if batch.shape[1:] != self._shape:
            raise ValueError(f"need N,{self._shape}, got {batch.shape}")
        step = GRAPH_SIZES[-1] if self._on_cuda else CPU_CHUNK
        run = self._replay if self._on_cuda else self._run_plainly
        starts = range(0, max(1, len(batch)), step)
        return join_outputs([run(batch[i : i + step]) for i in starts])

    def warm_up(self) -> None:
        """Run once; on CUDA capture every batch size."""
        if not self._on_cuda:
            self.infer(np.zeros((1, *self._shape), np.float32))
            return
        for size in reversed(GRAPH_SIZES):
            self.infer(np.zeros((size, *self._shape), np.float32))

    def _run_plainly(self, batch: Batch) -> Outputs:
        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(np.ascontiguousarray(batch)))
        return Outputs(*(o.numpy() for o in outputs))

    def _replay(self, batch: Batch) -> Outputs:
        count = len(batch)
        size = graph_size(count)
        captured = self._graphs.get(size)
        if captured is None:
            captured = self._graphs[size] = self._capture(size)
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(batch)).pin_memory()
            captured.images[:count].copy_(images, non_blocking=True)
            captured.graph.replay()
            # The copy to the host waits for the replay; the padding's rows stay behind.
            return Outputs(*(o[:count].float().cpu().numpy() for o in captured.outputs))

    def _capture(self, size: int) -> CapturedGraph:
        with torch.inference_mode():
            images = torch.zeros((size, *self._shape), dtype=self._dtype, device=self._device)
            images = images.contiguous(memory_format=torch.channels_last)
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types here
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # lets cuDNN choose its kernels outside the capture
                    self._network(images)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outputs = self._network(images)
        return CapturedGraph(graph, images, outputs)


def graph_size(count: int) -> int:
    """The smallest captured batch size that holds `count` images."""
    return next(size for size in GRAPH_SIZES if size >= count)
