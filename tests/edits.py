"""Files of checkpoints, styles and controls, changed in place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


@contextmanager
def config(file: Path) -> Iterator[dict[str, Any]]:
    """The settings in a JSON file, which is written again with what is done to them."""
    settings = json.loads(file.read_text())
    yield settings
    file.write_text(json.dumps(settings))


@contextmanager
def weights(file: Path) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors in a file by name, likewise."""
    tensors = load_file(file)
    yield tensors
    save_file(tensors, file)
