"""What records a function of tensors, to do it again at once: the seam between `CapturedEngine` and
PyTorch's ways to save the launching. CUDA graphs, and inductor before them.

Knows nothing of checkpoints or requests.
"""

import importlib.util
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from sdxs.engines.runtime import Unavailable
from sdxs.errors import one_line
from sdxs.model.graph import Inputs

WARM_UPS = 3  # runs before a capture, in which libraries choose and allocate

Replay = Callable[[], Sequence[Tensor]]

_capturing = threading.Lock()  # CUDA can do one at a time in a program


class Recorder(Protocol):
    """Records functions on a device."""

    name: ClassVar[str]

    def __init__(self, device: torch.device) -> None: ...

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        """Raises Unavailable."""

    def record(self, function: nn.Module, buffers: Inputs) -> Replay:
        """What does a function once more, of the numbers that are in the buffers by then. What it
        gives may be written over when anything of this recorder is done again. Nothing else of the
        caller's may run meanwhile. Raises whatever libraries raise."""


class CudaGraphs:
    """CUDA graphs: hundreds of launches become one. They share memory, as one runs at a time."""

    name: ClassVar[str] = "cuda-graph"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        if device.type != "cuda":
            raise Unavailable(f"it is for CUDA, not for {device.type}", notable=False)

    def record(self, function: Callable[..., Any], buffers: Inputs) -> Replay:
        graph = torch.cuda.CUDAGraph()
        with _capturing, torch.cuda.device(self._device):
            before = torch.cuda.current_stream()
            self._stream.wait_stream(before)
            with torch.cuda.stream(self._stream):  # left also when a capture fails
                for _ in range(WARM_UPS):
                    function(**buffers)
                memory = next((other.pool() for other in self._alive), None)
                with torch.cuda.graph(
                    graph,
                    pool=memory,
                    stream=self._stream,
                    capture_error_mode="thread_local",  # other models may use the device meanwhile
                ):
                    outputs = [output.contiguous() for output in function(**buffers)]
            before.wait_stream(self._stream)
        self._alive.add(graph)

        def replay() -> Sequence[Tensor]:
            graph.replay()
            return outputs

        return replay


class Compiled:
    """Kernels that inductor writes for one shape; on CUDA they are then captured. Takes minutes."""

    name: ClassVar[str] = "compile"

    def __init__(self, device: torch.device) -> None:
        self._graphs = CudaGraphs(device) if device.type == "cuda" else None

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        if device.type not in ("cuda", "cpu"):
            raise Unavailable(f"it is for CUDA and CPUs, not for {device.type}")
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            raise Unavailable("it needs Triton: pip install triton")
        from torch._inductor.cpp_builder import get_cpp_compiler

        try:
            get_cpp_compiler()
        except Exception as error:  # inductor's own, of a kind that it does not promise
            raise Unavailable(
                f"it needs a C++ compiler ({one_line(error, 100)}): "
                "install g++ or clang, or name one in CXX"
            ) from None

    def record(self, function: nn.Module, buffers: Inputs) -> Replay:
        # exported first: hooks and locks are gone, and each has a limit of its own for compiling
        exported = torch.export.export(function, (), dict(buffers), strict=False).module()
        mode = "max-autotune-no-cudagraphs" if self._graphs else "default"
        compiled = torch.compile(exported, mode=mode, dynamic=False)
        if self._graphs:
            return self._graphs.record(compiled, buffers)
        return lambda: compiled(**buffers)
