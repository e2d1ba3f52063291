"""Running a stage to its end, and again with a break."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sdxs.train.run import loop

Resumes = Callable[..., Path]
WEIGHTS = "diffusion_pytorch_model.safetensors"


def train(command: ModuleType, run: Path, **options: Any) -> Path:
    command.train(command.Options(run=run, **options))
    return run


def refused(why: str, command: ModuleType, run: Path, **options: Any) -> None:
    with pytest.raises(loop.TrainingError, match=why):
        train(command, run, **options)


def weights(run: Path, part: str) -> dict[str, torch.Tensor]:
    return load_file(run / part / WEIGHTS)


FEW = {"steps": 3, "batch": 2, "lr": 1e-3, "seed": 1, "save_minutes": 0}
SOME = {"pictures": 8, "resolution": 64, **FEW}
TURNS = {"online_steps": 2, "online_first": 1, **FEW}
