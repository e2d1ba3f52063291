"""Graphs as ONNX files that hold no numbers: those lie in safetensors files, as external data.

Traced by torch, then made small: short names, no descriptions. Knows nothing of which graphs.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sdxs.engines.onnx import export, session
from sdxs.engines.runtime import CompiledGraph
from sdxs.export.graphs import Graph, Networks, Written, constant_of, naming, parameter_of
from sdxs.export.weights import Stored, Weights

SUFFIX = ".onnx"
SMALL = 64  # bytes of a tensor that stays in the graph


def write(graphs: Iterable[Graph], networks: Networks, folder: Path) -> dict[str, Written]:
    """Graphs into a folder that is there. Raises OSError, SDXSError."""
    weights, models = Weights(), {}
    for graph in graphs:
        module, example = networks.ready(graph)
        file = folder / f"{graph.name}{SUFFIX}"
        with naming(graph, "torch cannot trace it"):
            export(module, example, file, graph.outputs, weights=False)
        model = onnx.load(file)
        _without_float64(model.graph)
        tensors = dict(_parameters(graph, module, model, weights))
        tensors |= _constants(graph, model, weights)
        models[graph.name] = model, tensors
    places, written = weights.write(folder), {}
    for name, (model, tensors) in models.items():
        _refer(model, tensors, places)
        _shorten(model)
        (folder / f"{name}{SUFFIX}").write_bytes(model.SerializeToString(deterministic=True))
        inputs = [each.name for each in model.graph.input]
        parts = sorted({each.file for each in tensors.values()})
        written[name] = Written(f"{name}{SUFFIX}", inputs, parts)
    return written


def load(file: Path) -> CompiledGraph:
    """Read back, by ONNX Runtime alone. Raises Unavailable, and what it raises."""
    return session(file)


def _parameters(
    graph: Graph, module: nn.Module, model: Any, weights: Weights
) -> Iterator[tuple[str, Stored]]:
    """Of the networks, which are no inputs any more."""
    known: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for each in inputs:
        if each.name in known:
            yield each.name, weights.parameter(*parameter_of(graph, each.name), known[each.name])
        else:
            model.graph.input.append(each)


def _without_float64(graph: Any) -> None:
    """Roots of constants of float64, which are torch's scales of an attention, as constants of
    what they are rounded to: in a browser's WebGPU nothing takes such roots."""
    known: dict[str, Any] = {}
    for node in graph.node:
        if node.op_type == "Constant":
            number = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Sqrt" and node.input[0] in known:
            number = np.sqrt(known[node.input[0]])
        elif node.op_type == "Cast" and node.input[0] in known:
            rounded = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            value = numpy_helper.from_array(known[node.input[0]].astype(rounded))
            node.CopyFrom(helper.make_node("Constant", [], node.output, value=value))
            continue
        else:
            continue
        if number.dtype == np.float64:
            known[node.output[0]] = number
    nodes, read = [], {each.name for each in graph.output}
    for node in reversed(graph.node):
        if node.output[0] not in known or node.output[0] in read:
            nodes.append(node)
            read.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(nodes))


def _constants(graph: Graph, model: Any, weights: Weights) -> dict[str, Stored]:
    """All that are large, which are no nodes any more: LoRAs, tables."""
    found, nodes = {}, []
    for node in model.graph.node:
        tensor = node.attribute[0].t if node.op_type == "Constant" else None
        if tensor is not None and len(tensor.raw_data) > SMALL:
            name = node.output[0].lstrip("/").replace("/", ".").removesuffix("_output_0")
            array = numpy_helper.to_array(tensor)
            found[node.output[0]] = weights.constant(constant_of(graph), name, array)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return found


def _refer(model: Any, tensors: dict[str, Stored], places: dict[Stored, tuple[int, int]]) -> None:
    """Tensors as external data, of float16 where they are stored so, with what makes them float32
    again."""
    casts = []
    for name, stored in tensors.items():
        own = f"{name}.half" if stored.halved else name
        dtype = TensorProto.FLOAT16 if stored.halved else _dtype(stored.tensor)
        tensor = TensorProto(name=own, dims=list(stored.tensor.shape), data_type=dtype)
        tensor.data_location = TensorProto.EXTERNAL
        offset, length = places[stored]
        for key, value in (("location", stored.file), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(tensor)
        if stored.halved:
            casts.append(helper.make_node("Cast", [own], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _dtype(tensor: Tensor) -> int:
    """As ONNX calls it."""
    return int(helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=tensor.dtype).numpy().dtype))


def _shorten(model: Any) -> None:
    """Names of tensors by number, inputs and outputs excepted; no names of nodes, no shapes of
    what lies between."""
    graph = model.graph
    kept = {each.name for each in (*graph.input, *graph.output)}
    numbers: dict[str, str] = {}

    def short(name: str) -> str:
        if not name or name in kept:
            return name
        return numbers.setdefault(name, f"v{len(numbers)}")

    for node in graph.node:
        for field in ("name", "doc_string", "metadata_props"):
            node.ClearField(field)
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    graph.ClearField("value_info")
    graph.ClearField("doc_string")
