"""The step by which multi-step models learn: latents with noise, and the loss of v."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.schedule import add_noise, velocity
from sdxs.train.parts.models import ALPHAS
from sdxs.train.run.machine import DEVICE, predict


def diffused(
    x0: Tensor, generator: torch.Generator, below: int = len(ALPHAS)
) -> tuple[Tensor, Tensor, Tensor]:
    """x_t (B, 4, h, w) of latents x0, its true v, and t (B,), drawn evenly below a timestep."""
    noise = torch.randn(x0.shape, generator=generator).to(DEVICE)
    t = torch.randint(below, (len(x0),), generator=generator).to(DEVICE)
    x0 = x0.to(DEVICE)
    return add_noise(x0, noise, t, ALPHAS), velocity(x0, noise, t, ALPHAS), t


def v_loss(
    unet: nn.Module,
    x0: Tensor,
    context: Tensor,
    generator: torch.Generator,
    below: int = len(ALPHAS),
) -> Tensor:
    """Mean squared error of the v (arXiv 2202.00512) that a U-Net gives; context: (B, L, D)."""
    x, v, t = diffused(x0, generator, below)
    return F.mse_loss(predict(unet, x, t, context), v)
