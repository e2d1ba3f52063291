"""From the config of a scheduler to its single step, tried once. A new one is a row here."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from sdxs.checkpoint.tensors import read_config
from sdxs.errors import CheckpointError, one_line
from sdxs.model.schedule import OneStep

SCHEDULERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        DDIMScheduler,
        DDPMScheduler,
        DEISMultistepScheduler,
        DPMSolverMultistepScheduler,
        DPMSolverSinglestepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        LCMScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    )
}


def load_scheduler(folder: Path, channels: int) -> OneStep:
    """The single step of the scheduler of a folder, tried once."""
    file = folder / "scheduler_config.json"
    config = read_config(file, SCHEDULERS)
    cls = SCHEDULERS[config["_class_name"]]
    try:
        one_step = OneStep(cls.from_config(config))
        trial = torch.ones(1, channels, 8, 8)
        result = one_step(trial, lambda x, t: x, [torch.Generator("cpu")])
    except Exception as error:
        raise CheckpointError(
            f"{file}: {cls.__name__} with these settings cannot do one step ({one_line(error)})"
        ) from None
    if result.shape != trial.shape or not result.isfinite().all():
        raise CheckpointError(f"{file}: {cls.__name__} gives no picture in one step")
    return one_step
