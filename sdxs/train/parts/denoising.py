"""The step by which multi-step models learn: latents with noise, and the loss of what they say."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.schedule import Schedule
from sdxs.train.run.machine import DEVICE


def diffused(
    schedule: Schedule, x0: Tensor, generator: torch.Generator, below: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """x_t (B, C, h, w) of latents x0, what should be said of it, and t (B,), drawn evenly below a
    timestep."""
    noise = torch.randn(x0.shape, generator=generator).to(DEVICE)
    t = torch.randint(below or len(schedule), (len(x0),), generator=generator).to(DEVICE)
    x0 = x0.to(DEVICE)
    return schedule.add_noise(x0, noise, t), schedule.target(x0, noise, t), t


def denoising_loss(
    denoiser: Denoiser,
    x0: Tensor,
    words: Words,
    generator: torch.Generator,
    below: int | None = None,
) -> Tensor:
    """Mean squared error of what a U-Net says of latents x0 (B, C, h, w) with noise."""
    x, target, t = diffused(denoiser.schedule, x0, generator, below)
    return F.mse_loss(denoiser.predict(x, t, words), target)
