"""OpenVINO: the fastest there is on CPUs. Graphs are traced by it, stored as its IR, and compiled
for one shape each, in bfloat16 where the dtype is that.

Its telemetry stays off: it reports every import to an analytics service unless told not to.
"""

import importlib.util
import platform
import sys
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sdxs.engines.cache import COMPILED
from sdxs.engines.runtime import Arrays, Shapes, Unavailable
from sdxs.errors import one_line
from sdxs.granted import threads
from sdxs.model.graph import Inputs
from sdxs.model.hardware import cpu_name

OLDEST = (2025, 0)
INSTALL = "pip install 'openvino>=2025.0'"
GRAPH = "graph.xml"
PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVINO:
    """See `sdxs.engines.runtime.Runtime`."""

    name: ClassVar[str] = "openvino"
    calibrated: ClassVar[bool] = False

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._library = library()
        self._core = self._library.Core()
        self._dtype = dtype

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        if device.type != "cpu":
            raise Unavailable(f"it is for CPUs, not for {device.type}", notable=False)
        if dtype not in PRECISIONS:
            raise Unavailable(f"it has no {str(dtype).removeprefix('torch.')}", notable=False)
        try:
            found = library().Core().available_devices
        except Unavailable:
            raise
        except Exception as error:  # of an installation with parts missing
            raise Unavailable(f"it cannot begin ({one_line(error, 200)}): {INSTALL}") from None
        if "CPU" not in found:
            raise Unavailable(f"it finds no CPU: {INSTALL}")

    @property
    def weights_dtype(self) -> torch.dtype:
        """Weights on disk are float16; bfloat16 would lose three bits of them."""
        return torch.float32 if self._dtype == torch.float32 else torch.float16

    def versions(self) -> dict[str, str]:
        return {
            "runtime": f"{self.name} {self._library.__version__}",
            "torch": torch.__version__,
            "dtype": str(self._dtype),
            "processor": f"{platform.machine()} {cpu_name()}",
        }

    def save(
        self, graph: nn.Module, example: Inputs, folder: Path, samples: Iterable[Inputs] = ()
    ) -> None:
        model = self.traced(graph, example, samples)
        halved = self.weights_dtype == torch.float16
        self._library.save_model(model, folder / GRAPH, compress_to_fp16=halved)

    def traced(self, graph: nn.Module, example: Inputs, samples: Iterable[Inputs]) -> Any:
        """OpenVINO's model of a graph."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, of shapes that are what they are
            model = self._library.convert_model(graph, example_input=example)
        for port, name in zip(model.inputs, example, strict=True):
            port.get_tensor().set_names({name})
        return model

    def compile(self, folder: Path, shapes: Shapes) -> "OpenVINOGraph":
        model = self._core.read_model(folder / GRAPH)
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[self._dtype],
            "INFERENCE_NUM_THREADS": threads(),
        }
        # what it compiles is stored, too: half the time, and weights that are mapped, not copied
        kept = folder / COMPILED
        stored, before = {"CACHE_DIR": str(kept)}, _files(kept)
        try:
            compiled = self._core.compile_model(model, "CPU", hints | stored)
            if _files(kept) > before:  # it was stored just now, and this one has copies
                del compiled
                compiled = self._core.compile_model(model, "CPU", hints | stored)
        except RuntimeError:  # a disk that is full, a folder that is only read
            compiled = self._core.compile_model(model, "CPU", hints)
        return OpenVINOGraph(compiled)


class OpenVINOGraph:
    """A compiled graph; one request at a time uses all its threads."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)
        self._lock = threading.Lock()

    def __call__(self, inputs: Arrays) -> list[NDArray[Any]]:
        with self._lock:
            self._request.infer(dict(inputs), share_inputs=True)
            return [np.array(self._request.get_output_tensor(i).data) for i in range(self._outputs)]


def _files(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*"))


def library() -> Any:
    """The package. Raises Unavailable."""
    if "openvino" not in sys.modules:
        if importlib.util.find_spec("openvino") is None:
            raise Unavailable(f"it is not installed: {INSTALL}")
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except Exception as error:  # a broken one raises anything
        raise Unavailable(f"it cannot be imported ({one_line(error, 200)}): {INSTALL}") from None
    version = getattr(openvino, "__version__", "0")
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST:
        raise Unavailable(f"version {version} is too old: {INSTALL}")
    return openvino
