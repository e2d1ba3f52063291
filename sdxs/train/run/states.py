"""A run's states on disk: each there whole or not at all, the newest that can be read, how often.

Knows nothing of what a state holds, but for how large it is.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.errors import SDXSError
from sdxs.train.run.sharding import local

LARGE = 4e9  # bytes of a state from which on one is kept, not two
SHARE = 0.05  # of the time, at most, that is spent on saving


class TrainingError(SDXSError):
    """A stage that cannot go on: other settings than its checkpoint's, a diverged loss."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Where to write a file so that it is there whole or not at all."""
    part = target.with_name(f"{target.name}.part")
    yield part
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, target)


def size(state: Any) -> int:
    """Bytes of all tensors in nested mappings and sequences; of shared ones what is here."""
    if isinstance(state, Tensor):
        return local(state).nbytes
    parts = state.values() if isinstance(state, Mapping) else state
    return sum(map(size, parts)) if isinstance(state, Mapping | list | tuple) else 0


def save_state(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write one state; keep the two newest, of large ones the newest.

    Raises TrainingError, before it writes, where there is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = size(state), shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"a state takes {needed / 1e9:.1f} GB and {folder} has room for {free / 1e9:.1f}: "
            "make room, then give the same command again"
        )
    with replacing(folder / f"state-{step:08d}.pt") as part:
        torch.save(dict(state), part)
    for old in sorted(folder.glob("state-*.pt"))[: -1 if needed > LARGE else -2]:
        old.unlink()


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest state that is whole, or None where there is none at all.

    Those that cannot be read are renamed, or a later save would count them among those it keeps.
    Raises TrainingError if none can be read.
    """
    torn: list[Path] = []
    for path in sorted(folder.glob("state-*.pt"), reverse=True):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a torn file fails in many ways; the one before it is whole
            tqdm.write(f"{path} cannot be read ({type(error).__name__}), trying the one before it")
            torn.append(path)
        else:
            for other in torn:
                other.rename(other.with_suffix(".torn"))
            return state
    if torn:
        raise TrainingError(f"no checkpoint in {folder} can be read: remove it to begin again")
    return None


class Pace:
    """When to save: so many seconds after the last time, later where saving takes long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.took = seconds, 0.0
        self.last = time.monotonic()

    @property
    def due(self) -> bool:
        """Without seconds, always."""
        pause = max(self.seconds, self.took / SHARE) if self.seconds else 0.0
        return time.monotonic() - self.last > pause

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Take the time of a save."""
        began = time.monotonic()
        yield
        self.last = time.monotonic()
        self.took = self.last - began
