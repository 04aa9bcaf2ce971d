"""Torch module -> safetensors weights and an ONNX graph without weights that points into them.

The graph's initializers are ONNX external data at the tensors' places in the safetensors file, so
one copy of the weights serves torch, OpenVINO and any ONNX runtime. Refuses a graph whose
initializers are not the module's own tensors. Needs torch and onnx; serving a bundle needs neither.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx
    from torch import nn

Tensors = dict[str, NDArray[Any]]
OUTPUT_NAMES = ("logits", "features", "maps")
OPSET = 20
FLOAT16_LIMIT = 65504.0


class ExportError(ValueError):
    """The module cannot be exported so that graph and weights agree."""


def weights_of(network: nn.Module, *, half: bool) -> Tensors:
    """The module's tensors by torch's names; with `half`, matrices and kernels in float16.

    Vectors stay float32: biases and batch-norm statistics are small in size and large in effect.
    """
    tensors: Tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        array = tensor.detach().cpu().numpy().astype(np.float32)
        if not np.isfinite(array).all():
            raise ExportError(f"tensor {name} holds values that are not finite")
        if half and array.ndim >= 2:
            if np.abs(array).max(initial=0.0) > FLOAT16_LIMIT:
                raise ExportError(f"tensor {name} exceeds half precision")
            array = array.astype(np.float16)
        tensors[name] = np.ascontiguousarray(array)
    return tensors


def rounded_copy(network: nn.Module, tensors: Tensors) -> nn.Module:
    """A float32 copy of the module that holds exactly the stored tensors, in eval mode."""
    import torch

    twin = copy.deepcopy(network).cpu().float().eval()
    state = {name: torch.from_numpy(a.astype(np.float32)) for name, a in tensors.items()}
    twin.load_state_dict({**twin.state_dict(), **state})
    return twin


def tensor_places(safetensors_file: Path) -> dict[str, tuple[int, int]]:
    """Tensor name -> (byte offset in the file, length in bytes)."""
    with safetensors_file.open("rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
    start = 8 + header_size
    places: dict[str, tuple[int, int]] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            places[name] = (start + first, last - first)
    return places


def export_graph(
    network: nn.Module, tensors: Tensors, safetensors_file: Path, *, height_px: int, width_px: int
) -> bytes:
    """The ONNX model (serialised) for input `images` N,3,H,W and outputs logits, features, maps."""
    import torch

    twin = rounded_copy(network, tensors)
    program = torch.onnx.export(
        twin,
        (torch.zeros(2, 3, height_px, width_px),),
        dynamo=True,
        optimize=False,  # keeps the parameters' names
        input_names=["images"],
        output_names=list(OUTPUT_NAMES),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        verbose=False,
    )
    if program is None:
        raise ExportError("torch.onnx.export returned no program")
    model = program.model_proto
    _strip_metadata(model)
    _drop_zero_biases(model.graph)
    _point_initializers(model.graph, tensors, safetensors_file)
    model.producer_name, model.producer_version = "hemowire", ""
    model.doc_string = "Weights are external data inside the safetensors file. Research use only."
    return bytes(model.SerializeToString(deterministic=True))


def _strip_metadata(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes (paths, stack traces): most of the file, none of the graph."""
    del model.metadata_props[:]
    graph = model.graph
    parts: Iterable[Any] = (
        *graph.node,
        *graph.initializer,
        *graph.input,
        *graph.output,
        *graph.value_info,
    )
    del graph.metadata_props[:]
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]


def _drop_zero_biases(graph: onnx.GraphProto) -> None:
    """Remove the zero bias that the exporter expands for each bias-free convolution."""
    producer = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            source = producer.get(node.input[2])
            if source is not None and source.op_type == "Expand":
                del node.input[2]
    while True:
        used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
        dead = [node for node in graph.node if not used.intersection(node.output)]
        if not dead:
            return
        for node in dead:
            graph.node.remove(node)


def _point_initializers(graph: onnx.GraphProto, tensors: Tensors, file: Path) -> None:
    """Replace every initializer by its place in the safetensors file; cast halves to float32."""
    import onnx

    places = tensor_places(file)
    casts: list[onnx.NodeProto] = []
    for initializer in graph.initializer:
        name = initializer.name
        if name not in tensors:
            raise ExportError(f"initializer {name} is none of the module's tensors")
        if tuple(initializer.dims) != tensors[name].shape:
            raise ExportError(f"initializer {name} has another shape than the module's tensor")
        offset, length = places[name]
        initializer.ClearField("raw_data")
        initializer.ClearField("float_data")
        del initializer.external_data[:]
        initializer.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", file.name), ("offset", offset), ("length", length)):
            initializer.external_data.add(key=key, value=str(value))
        if tensors[name].dtype == np.float16:
            initializer.data_type = onnx.TensorProto.FLOAT16
            casts.append(_cast(name))
        else:
            initializer.data_type = onnx.TensorProto.FLOAT
    cast_names = {cast.input[0]: cast.output[0] for cast in casts}
    for node in graph.node:
        for i, used in enumerate(node.input):
            node.input[i] = cast_names.get(used, used)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _cast(name: str) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node(
        "Cast", [name], [f"{name}.float32"], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
    )
