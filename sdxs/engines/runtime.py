"""What runs a graph outside of PyTorch: the seam between `GraphEngine` and a library.

Knows nothing of checkpoints.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from numpy.typing import NDArray
from torch import nn

from sdxs.model.graph import Inputs

Arrays = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


def arrays(inputs: Inputs) -> dict[str, NDArray[Any]]:
    """The same as NumPy has it."""
    return {name: value.contiguous().numpy() for name, value in inputs.items()}


class Unavailable(Exception):
    """A runtime cannot be had here. notable: where one would expect it."""

    def __init__(self, reason: str, *, notable: bool = True) -> None:
        super().__init__(reason)
        self.notable = notable


class CompiledGraph(Protocol):
    """A graph ready to run, for one shape of each input. Any number of threads may call it."""

    def __call__(self, inputs: Arrays) -> list[NDArray[Any]]: ...


class Runtime(Protocol):
    """A library that runs graphs, for a device and a dtype. calibrated: it stores graphs from noise
    to pixels by samples of what they will be given."""

    name: ClassVar[str]
    calibrated: ClassVar[bool]

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None: ...

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        """Raises Unavailable."""

    @property
    def weights_dtype(self) -> torch.dtype:
        """What the networks are read in, to be traced."""

    def versions(self) -> dict[str, str]:
        """All that a stored graph depends on, beside what it is of."""

    def save(
        self, graph: nn.Module, example: Inputs, folder: Path, samples: Iterable[Inputs] = ()
    ) -> None:
        """Trace a graph and store it in a folder that is there, for any size and batch."""

    def compile(self, folder: Path, shapes: Shapes) -> CompiledGraph:
        """A stored graph, ready for these shapes."""
