"""Segmented score distillation (paper, section 3.2, algorithm 1, eq. 11 and 12), for any student.

Below alpha T, the difference of two scores says how the student's pictures lie beside those of the
multi-step model: the offline one (frozen, guided) and the online one, which is kept true to the
student's own pictures. Above alpha T, where such scores are inaccurate, feature matching on
noise-picture pairs takes their place. Both weights start high and fall. What the student is, a
U-Net or a control, and how it is updated, is the business of the stages.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.schedule import add_noise, velocity, x0_from_velocity
from sdxs.train import loop
from sdxs.train.features import Encode
from sdxs.train.losses import feature_matching, score_direction
from sdxs.train.machine import DEVICE, fast, predict, short_attention
from sdxs.train.models import build_scheduler
from sdxs.train.pairs import Pairs
from sdxs.train.solver import Model, one_step

ALPHA = (0.98, 0.70)  # share of the timesteps that belong to the scores: at first, at last
KAPPA = (2.0, 0.5)  # pull of feature matching, relative to that of the scores: at first, at last
HOLD = 0.3  # share of the steps before the two begin to fall
LOWEST = 0.02  # timestep of a score, as a share of T; below it both are noise
ALPHAS = build_scheduler().alphas_cumprod

Bind = Callable[[nn.Module], nn.Module]  # what a batch has both score models see beside the words


def plainly(unet: nn.Module) -> nn.Module:
    """A U-Net that sees nothing but words."""
    return unet


def eased(step: int, steps: int, ends: tuple[float, float]) -> float:
    """The first value for a share `HOLD` of the steps, then half a cosine to the second."""
    first, last = ends
    share = max(0.0, step / steps - HOLD) / (1 - HOLD)
    return last + (first - last) * (0.5 + 0.5 * math.cos(math.pi * share))


class Balance:
    """Running means of the two gradients' norms; their ratio makes lambda_FM (eq. 11)."""

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}

    def update(self, **norms: Tensor) -> None:
        for name, norm in norms.items():
            self.norms[name] = 0.95 * self.norms.get(name, norm.item()) + 0.05 * norm.item()

    def ratio(self, above: str, below: str) -> float:
        return self.norms[above] / max(self.norms[below], 1e-12)

    def state_dict(self) -> dict[str, float]:
        return dict(self.norms)

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.norms = dict(state_dict)


def noised(x0: Tensor, low: float, high: float, generator: torch.Generator) -> list[Tensor]:
    """x_t, its noise and t, t between two shares of T."""
    share = low + (high - low) * torch.rand(len(x0), generator=generator)
    t = (share * len(ALPHAS)).long().clamp(max=len(ALPHAS) - 1).to(x0.device)
    noise = torch.randn(x0.shape, generator=generator).to(x0.device)
    return [add_noise(x0, noise, t, ALPHAS), noise, t]


class Scores:
    """The two score models.

    offline: frozen, seen with `guidance`. online: begins as it and follows the student.
    """

    def __init__(self, offline: Model, online: nn.Module, guidance: float) -> None:
        self.offline, self.online, self.guidance = offline, online, guidance
        self.optimizer = torch.optim.AdamW(
            online.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True
        )
        self.nothing = offline.embed([""])  # (1, L, D)

    @property
    def parts(self) -> Mapping[str, loop.Stateful]:
        return {"online": self.online, "online_optimizer": self.optimizer}

    def follow(
        self, x0: Tensor, context: Tensor, generator: torch.Generator, bind: Bind = plainly
    ) -> float:
        """Keep the online model true to the student's pictures (eq. 1)."""
        x, noise, t = noised(x0, 0, 1, generator)
        v = predict(bind(self.online), x, t, context)
        loss = F.mse_loss(v, velocity(x0, noise, t, ALPHAS))
        with short_attention():
            loss.backward()
        update(self.optimizer, self.online.parameters())
        return loss.item()

    def follow_fresh(
        self, student: nn.Module, data: Pairs, count: int, generator: torch.Generator
    ) -> float:
        """`follow` what a one-step U-Net makes of noise and prompts that belong to no pair."""
        noise, texts = data.fresh(count, generator)
        context = self.offline.embed(texts)
        with torch.no_grad():
            x0 = one_step(student, noise.to(DEVICE), context, ALPHAS)
        return self.follow(x0, context, generator)

    @torch.no_grad()
    def pull(
        self,
        x0: Tensor,
        context: Tensor,
        alpha: float,
        generator: torch.Generator,
        bind: Bind = plainly,
    ) -> Tensor:
        """Eq. 12, normalised: where the scores want x0 (B, 4, h, w) not to go."""
        x, _, t = noised(x0, LOWEST, alpha, generator)
        fake = x0_from_velocity(x, predict(bind(self.online), x, t, context), t, ALPHAS)
        both = torch.cat((context, self.nothing.expand(len(x0), -1, -1)))
        offline = dataclasses.replace(self.offline, unet=bind(self.offline.unet))
        real = x0_from_velocity(x, offline.guided(x, t, both, self.guidance), t, ALPHAS)
        return score_direction(x0, fake, real, t, ALPHAS)


def matching_pull(
    encode: Encode, ours: Tensor, target: Tensor, context: Tensor
) -> tuple[Tensor, float]:
    """Gradient of eq. 10 by all of `ours`, whose first rows have a target; and its value."""
    leaf = ours.detach().requires_grad_()
    with fast():
        matching = feature_matching(encode, leaf[: len(target)], target, context[: len(target)])
    with short_attention():
        (pull,) = torch.autograd.grad(matching, leaf)
    return pull, matching.item()


def together(scores: Tensor, matching: Tensor, kappa: float, balance: Balance) -> Tensor:
    """Eq. 11: both pulls on the student's pictures (B, 4, h, w) as one, a gradient of a mean."""
    scores = scores / scores.numel()
    balance.update(scores=scores.norm(), matching=matching.norm())
    strength = kappa * balance.ratio("scores", "matching")  # lambda_FM
    return scores + strength * matching


def descend(ours: Tensor, scores: Tensor, matching: Tensor, kappa: float, balance: Balance) -> None:
    """Send both pulls back through the student's pictures `ours`."""
    pull = together(scores, matching, kappa, balance)
    with short_attention():
        ours.backward(pull)


def update(optimizer: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
    """One step, the gradient clipped to norm 1."""
    nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
