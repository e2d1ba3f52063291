"""Graphs as OpenVINO's files, each with weights of its own: two of them cannot share any.

Knows nothing of which graphs.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from sdxs.engines.openvino import OpenVINO, OpenVINOGraph, library
from sdxs.engines.runtime import CompiledGraph
from sdxs.export.graphs import CPU, Graph, Networks, Written, naming

SUFFIX, WEIGHTS = ".xml", ".bin"
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would take bfloat16


def write(graphs: Iterable[Graph], networks: Networks, folder: Path) -> dict[str, Written]:
    """Graphs into a folder that is there. Raises OSError, SDXSError."""
    tracer, written = OpenVINO(CPU, networks.dtype), {}
    for graph in graphs:
        module, example = networks.ready(graph)
        with naming(graph, "OpenVINO cannot trace it"):
            model = tracer.traced(module, example, ())
        for port, name in zip(model.outputs, graph.outputs, strict=True):
            port.get_tensor().set_names({name})
        file = f"{graph.name}{SUFFIX}"
        halved = networks.dtype == torch.float16
        with naming(graph, "it cannot be written"):
            library().save_model(model, folder / file, compress_to_fp16=halved)
        written[graph.name] = Written(file, [*example], [f"{graph.name}{WEIGHTS}"])
    return written


def load(file: Path) -> CompiledGraph:
    """Read back, by OpenVINO alone."""
    return OpenVINOGraph(library().Core().compile_model(file, "CPU", EXACT))
