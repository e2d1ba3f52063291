"""A runtime that is TorchScript, and models on it: for tests of everything around a runtime."""

import threading
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from sdxs import SDXS
from sdxs.checkpoint.open import Opened
from sdxs.engines import ENGINES
from sdxs.engines.graphs import GraphEngine
from sdxs.model.graph import Inputs

PLACE: Any = {"device": torch.device("cpu"), "dtype": torch.float32}


class Script:
    """A runtime that traces with torch.jit and runs what it stored."""

    name: ClassVar[str] = "script"
    calibrated: ClassVar[bool] = False
    loaded: ClassVar[list[dict[str, tuple[int, ...]]]] = []
    wrong: ClassVar[float] = 0.0  # added to what graphs paint
    fails: ClassVar[str] = ""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.weights_dtype = dtype

    def versions(self) -> dict[str, str]:
        return {"runtime": self.name}

    def save(self, graph: nn.Module, example: Inputs, folder: Path, samples: Any = ()) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, and that it is old
            traced = torch.jit.trace(graph, example_kwarg_inputs=example, check_trace=False)
            torch.jit.save(traced, folder / "graph.pt")

    def compile(self, folder: Path, shapes: Any) -> Any:
        if self.fails:
            raise RuntimeError(self.fails)
        self.loaded.append(dict(shapes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.jit.load(folder / "graph.pt")

        def run(inputs: Any) -> Any:
            assert {name: array.shape for name, array in inputs.items()} == shapes
            tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
            with torch.jit.optimized_execution(False):  # it would take longer than all else here
                first, *more = graph(**tensors)
            return [(first + self.wrong).to(first.dtype).numpy(), *(each.numpy() for each in more)]

        return run


def model(opened: Opened, monkeypatch: pytest.MonkeyPatch, *, waits: bool) -> SDXS:
    def make(*arguments: Any) -> GraphEngine:
        return GraphEngine(Script, *arguments, waits=waits)

    monkeypatch.setitem(ENGINES, "script", make)
    return SDXS(opened, "script", **PLACE)


def near(ours: Any, theirs: Any) -> bool:
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
    tensors = [[torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in pair]
               for pair in pairs]  # fmt: skip
    return all(int((a.int() - b.int()).abs().max()) <= 1 for a, b in tensors)


def built(ours: SDXS) -> None:
    """Wait for what is being built."""
    builder: Any = ours._engine._builder
    done = threading.Event()
    builder.later(done.set)
    assert done.wait(60)
