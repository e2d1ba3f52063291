"""From the config of a scheduler to its single step, tried once. A new one is a row here."""

from pathlib import Path
from typing import Any

import diffusers
import torch

from sdxs.errors import CheckpointError, blaming
from sdxs.model.schedule import OneStep

SCHEDULERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        diffusers.DDIMScheduler,
        diffusers.DDPMScheduler,
        diffusers.DEISMultistepScheduler,
        diffusers.DPMSolverMultistepScheduler,
        diffusers.DPMSolverSinglestepScheduler,
        diffusers.EulerAncestralDiscreteScheduler,
        diffusers.EulerDiscreteScheduler,
        diffusers.LCMScheduler,
        diffusers.PNDMScheduler,
        diffusers.UniPCMultistepScheduler,
    )
}


def one_step_of(file: Path, config: dict[str, Any], channels: int) -> OneStep:
    """The single step of a scheduler with these settings, tried once; file: what is blamed."""
    cls = SCHEDULERS[config["_class_name"]]
    with blaming(f"{file}: {cls.__name__} with these settings cannot do one step"):
        one_step = OneStep(cls.from_config(config))
        trial = torch.ones(1, channels, 8, 8)
        result = one_step(trial, lambda x, t: x, [torch.Generator("cpu")])
    if result.shape != trial.shape or not result.isfinite().all():
        raise CheckpointError(f"{file}: {cls.__name__} gives no picture in one step")
    return one_step
