"""A step along a path, against diffusers and in closed form."""

import torch
from diffusers import DDIMScheduler

from sdxs.model.schedule import velocity
from sdxs.train.parts.models import build_scheduler
from sdxs.train.straighten import ddim


def test_one_step_along_the_path_is_diffusers_ddim() -> None:
    scheduler = DDIMScheduler.from_config(build_scheduler().config)
    scheduler.set_timesteps(50)
    x, v = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    for t in scheduler.timesteps[[0, 20, 48]].tolist():
        wanted = scheduler.step(v, t, x).prev_sample
        ours = ddim(x, v, torch.tensor([t]), torch.tensor([t - 20]))
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_the_exact_velocity_leads_along_the_path() -> None:
    """From x_t = a x0 + s e and its true v, DDIM reaches a' x0 + s' e."""
    alphas = build_scheduler().alphas_cumprod
    x0, noise = torch.randn(2, 3, 4, 8, 8).unbind()
    t, to = torch.tensor([999, 499, 39]), torch.tensor([979, 479, 19])
    a, s = alphas.sqrt()[:, None, None, None], (1 - alphas).sqrt()[:, None, None, None]
    x = a[t] * x0 + s[t] * noise
    ours = ddim(x, velocity(x0, noise, t, alphas), t, to)
    torch.testing.assert_close(ours, a[to] * x0 + s[to] * noise, rtol=1e-4, atol=1e-4)
