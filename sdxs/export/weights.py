"""The tensors that graphs share, in safetensors files: each number once, whoever needs it.

A float32 tensor every number of which is a float16 is stored as float16, which loses nothing.
Knows nothing of graphs.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from sdxs.checkpoint.variants import WHOLE

FOLDER = "weights"


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor. part: its file, without folder and ending. halved: stored as float16."""

    part: str
    name: str
    tensor: Tensor
    halved: bool

    @property
    def file(self) -> str:
        return f"{FOLDER}/{self.part}{WHOLE}"


class Weights:
    """To be filled, then written once."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Stored]] = {}
        self._known: dict[object, Stored] = {}

    def parameter(self, part: str, name: str, tensor: Tensor) -> Stored:
        """A network's own, which is the same tensor in every graph."""
        return self._once(id(tensor), part, name, tensor)

    def constant(self, part: str, name: str, array: NDArray[np.generic]) -> Stored:
        """A tensor of a graph; where the very same numbers were given before, they are those."""
        digest = hashlib.sha256(array.tobytes()).digest()
        key = (digest, array.dtype.str, array.shape)
        return self._once(key, part, name, torch.from_numpy(np.array(array)))

    def _once(self, key: object, part: str, name: str, tensor: Tensor) -> Stored:
        if key not in self._known:
            names = self._parts.setdefault(part, {})
            while name in names:
                name += "_"
            stored = Stored(part, name, tensor, is_half(tensor))
            self._known[key] = names[name] = stored
        return self._known[key]

    def write(self, folder: Path) -> dict[Stored, tuple[int, int]]:
        """Where each tensor lies in its file, and how long it is, in bytes. Raises OSError."""
        (folder / FOLDER).mkdir()
        found: dict[Stored, tuple[int, int]] = {}
        for part, names in self._parts.items():
            file = folder / FOLDER / f"{part}{WHOLE}"
            tensors = {
                name: (each.tensor.half() if each.halved else each.tensor).contiguous()
                for name, each in names.items()
            }
            save_file(tensors, file, {"format": "pt"})
            file.chmod(folder.stat().st_mode & 0o666)  # it was for its owner alone
            for name, (first, last) in _offsets(file).items():
                found[names[name]] = first, last - first
        return found


def is_half(tensor: Tensor) -> bool:
    """Whether every number of a float32 tensor is a float16."""
    return tensor.dtype == torch.float32 and bool((tensor.half().float() == tensor).all())


def _offsets(file: Path) -> dict[str, tuple[int, int]]:
    """Where the tensors of a safetensors file begin and end, from its first byte."""
    with open(file, "rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))
    header.pop("__metadata__", None)
    begin = 8 + length
    return {
        name: (begin + row["data_offsets"][0], begin + row["data_offsets"][1])
        for name, row in header.items()
    }
