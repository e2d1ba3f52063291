"""A checkpoint as a folder of graphs: traced, written, read back, compared, then described.

Knows nothing of where the folder will be.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sdxs.checkpoint.open import Opened
from sdxs.checkpoint.variants import WHOLE
from sdxs.engines import EAGER
from sdxs.engines.onnx import OnnxRuntime
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Runtime, Unavailable
from sdxs.errors import InputError, SDXSError
from sdxs.export import index
from sdxs.export.compared import LEAST, Reference
from sdxs.export.graphs import CPU, Graph, Networks, graphs_of, linear_step, naming
from sdxs.pipeline import SDXS
from sdxs.service.about import About

RUNTIMES: dict[str, type[Runtime]] = {"onnx": OnnxRuntime, "openvino": OpenVINO}


def write(opened: Opened, runtime: str, dtype: torch.dtype, folder: Path) -> None:
    """Write a new folder, and print how near each of its graphs is. Raises SDXSError, OSError."""
    files: Any = _files(runtime)
    linear_step(opened)
    if both := sorted({*opened.facts.offer.styles} & {*opened.facts.offer.controls}):
        raise InputError(
            f"a style and a control are both called {both[0]}: call one of them otherwise, "
            "NAME=SOURCE"
        )
    model = SDXS(opened, EAGER, CPU, torch.float32)
    about = _about(model, dtype)
    graphs = graphs_of(opened.facts)
    folder.mkdir()
    written = files.write(_bar(graphs, "tracing"), Networks(opened, dtype), folder)
    reference = Reference(model, opened.facts.readers, about.examples)
    for graph in _bar(graphs, "comparing"):
        with naming(graph, f"{runtime} cannot run it"):
            near = reference.distance(graph, files.load(folder / written[graph.name].file))
        tqdm.write(f"{graph.name}: {near:.1f} dB")
        if not near >= LEAST[dtype]:
            raise SDXSError(
                f"{graph.name} is {near:.1f} dB from the eager engine, and {LEAST[dtype]:.0f} are "
                "needed: nothing is kept"
            )
    index.describe(folder, opened, about, runtime, dtype, graphs, written)


def _files(runtime: str) -> Any:
    """What writes and loads the graphs of a library. Raises SDXSError where that is missing."""
    try:
        RUNTIMES[runtime].check(CPU, torch.float32)
    except Unavailable as reason:
        raise SDXSError(f"--to {runtime}: {reason}") from None
    if runtime == "openvino":
        from sdxs.export import openvino

        return openvino
    from sdxs.export import onnx

    return onnx


def _bar(graphs: Iterable[Graph], what: str) -> Any:
    return tqdm(graphs, what, leave=False, disable=None, unit="graph")


def _about(model: SDXS, dtype: torch.dtype) -> About:
    """What pages say of the model, wherever it will run; nothing of this machine."""
    about = About.of(model)
    facts = (str(dtype).removeprefix("torch."), *about.facts[2:])
    if model.source.kind == "folder":
        own = model.source.folder.name.removesuffix(WHOLE)
        about = dataclasses.replace(about, title=own, checkpoint=own)
    return dataclasses.replace(about, facts=facts, why="", command="")
