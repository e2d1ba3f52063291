"""Data that take long to make, kept in a folder beside a note of what they are.

They stay in the file: rows are in memory once they are asked for, and for as long as there is room.
"""

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
    """What `make` gives, made now or before, mapped from its file in `folder`; the seconds that it
    took to make.

    about: as `written` has it.
    """
    path = folder / f"{name}.safetensors"

    def write(part: Path) -> None:
        save_file({key: tensor.contiguous() for key, tensor in make().items()}, part)

    seconds = written(path, about, write)
    return load_file(path), seconds


def written(path: Path, about: Mapping[str, Any], write: Callable[[Path], None]) -> float:
    """Have a file written, where it is not there yet; the seconds that it took.

    about: says what is in it, in what JSON knows; with another one it is written anew. write: is
    told where. Of several ranks the main one has it written, the others wait.
    """
    with ranks.main_first():
        return _written(path, about, write)


def _written(path: Path, about: Mapping[str, Any], write: Callable[[Path], None]) -> float:
    note = path.with_suffix(".json")
    known = json.loads(note.read_text()) if path.exists() and note.exists() else {}
    if about.items() <= known.items():
        return known["seconds"]
    path.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    began = time.monotonic()
    with replacing(path) as part:
        write(part)
    seconds = time.monotonic() - began
    with replacing(note) as part:  # last: it says that the file is whole
        part.write_text(json.dumps({**about, "seconds": round(seconds, 1)}))
    return seconds
