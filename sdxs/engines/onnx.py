"""ONNX Runtime: for processors that OpenVINO has no wheels for. Graphs are exported by torch,
stored as ONNX, and run in float32, whatever the eager engine's dtype is.
"""

import importlib.util
import threading
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import nn

from sdxs.engines.runtime import Arrays, Shapes, Unavailable
from sdxs.errors import one_line
from sdxs.granted import threads
from sdxs.model.graph import Inputs

INSTALL = "pip install 'onnxruntime>=1.20' onnx"
GRAPH = "graph.onnx"
OPSET = 20
SIDES = {"noise": (2, 3), "images": (2, 3)}  # differ from call to call, as the rows do


class OnnxRuntime:
    """See `sdxs.engines.runtime.Runtime`."""

    name: ClassVar[str] = "onnxruntime"
    calibrated: ClassVar[bool] = False
    weights_dtype = torch.float32

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        library()

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        if device.type != "cpu":
            raise Unavailable(f"it is for CPUs, not for {device.type}", notable=False)
        library()
        if importlib.util.find_spec("onnx") is None:
            raise Unavailable(f"onnx is not installed: {INSTALL}")

    def versions(self) -> dict[str, str]:
        return {"runtime": f"{self.name} opset {OPSET}", "torch": torch.__version__}

    def save(
        self, graph: nn.Module, example: Inputs, folder: Path, samples: Iterable[Inputs] = ()
    ) -> None:
        export(graph, example, folder / GRAPH)

    def compile(self, folder: Path, shapes: Shapes) -> "OnnxGraph":
        return session(folder / GRAPH)


def export(
    graph: nn.Module,
    example: Inputs,
    file: Path,
    outputs: Sequence[str] = (),
    *,
    weights: bool = True,
) -> None:
    """Trace a graph and write it as ONNX, for any size and batch. outputs: their names. weights:
    whether they go along, what follows from them computed; else they are inputs, by name."""
    names = list(example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of shapes that are what they are
        torch.onnx.export(
            graph,
            kwargs=example,
            f=file,
            input_names=names,
            output_names=list(outputs),
            dynamic_axes={name: [0, *SIDES.get(name, ())] for name in names},
            opset_version=OPSET,
            external_data=True,
            export_params=weights,
            do_constant_folding=weights,
            dynamo=False,
        )


def session(file: Path) -> "OnnxGraph":
    """A stored graph, ready to run. Raises Unavailable."""
    found = library()
    options = found.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    return OnnxGraph(found.InferenceSession(file, options, providers=["CPUExecutionProvider"]))


class OnnxGraph:
    """A session; one request at a time uses all its threads."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._lock = threading.Lock()

    def __call__(self, inputs: Arrays) -> list[NDArray[Any]]:
        with self._lock:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(inputs))
            return outputs


def library() -> Any:
    """The package. Raises Unavailable."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise Unavailable(f"it is not installed: {INSTALL}")
    try:
        import onnxruntime
    except Exception as error:  # a broken one raises anything
        raise Unavailable(f"it cannot be imported ({one_line(error, 200)}): {INSTALL}") from None
    return onnxruntime
