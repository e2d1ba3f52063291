"""Tensors that take long to make, kept in a folder beside a note of what they are."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from sdxs.train.run import ranks
from sdxs.train.run.states import replacing


def cached(
    folder: Path, name: str, about: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
) -> tuple[dict[str, Tensor], float]:
    """What `make` gives, made now or read from `folder`; the seconds that it took to make.

    about: says what it is, in what JSON knows; with another one it is made anew. Of several ranks
    the main one makes it, the others wait and read.
    """
    with ranks.main_first():
        return _cached(folder, name, about, make)


def _cached(
    folder: Path, name: str, about: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
) -> tuple[dict[str, Tensor], float]:
    path, note = folder / f"{name}.safetensors", folder / f"{name}.json"
    known = json.loads(note.read_text()) if path.exists() and note.exists() else {}
    if about.items() <= known.items():
        return load_file(path), known["seconds"]
    folder.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    began = time.monotonic()
    data = make()
    save_file({key: part.contiguous() for key, part in data.items()}, path)
    seconds = time.monotonic() - began
    with replacing(note) as part:  # last: it says that the file is whole
        part.write_text(json.dumps({**about, "seconds": round(seconds, 1)}))
    return data, seconds
