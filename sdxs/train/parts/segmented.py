"""Segmented score distillation (paper, section 3.2, algorithm 1, eq. 11 and 12): its two models.

Below alpha T, the difference of two scores says how the student's pictures lie beside those of the
multi-step model: the offline one (frozen, guided) and the online one, which is kept true to the
student's own pictures. Above alpha T, where such scores are inaccurate, feature matching on
noise-picture pairs takes their place. Alpha, and how hard matching pulls beside the scores, kappa,
start high and fall; lambda_FM is what makes it so, and may rise. Knows nothing of what the student
is, nor of whose turn it is: that is `distillation`.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import score_direction
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.solver import Model
from sdxs.train.run import ranks
from sdxs.train.run.options import ALL_AT_ONCE, Scale

ALPHA = (0.98, 0.70)  # share of the timesteps that belong to the scores: at first, at last
KAPPA = (2.0, 0.5)  # pull of feature matching, relative to that of the scores: at first, at last
HOLD = 0.3  # share of the steps before the two begin to fall
LOWEST = 0.02  # timestep of a score, as a share of T; below it both are noise

Bind = Callable[[nn.Module], nn.Module]  # what a batch has both score models see beside the words


def plainly(unet: nn.Module) -> nn.Module:
    """A U-Net that sees nothing but words."""
    return unet


def eased(step: float, steps: float, ends: tuple[float, float]) -> float:
    """The first value for a share `HOLD` of the steps, then half a cosine to the second."""
    first, last = ends
    share = max(0.0, step / steps - HOLD) / (1 - HOLD)
    return last + (first - last) * (0.5 + 0.5 * math.cos(math.pi * share))


class Balance:
    """Running means of the gradients' norms; their ratio makes lambda_FM (eq. 11).

    A micro-batch sees the means of before and itself, so that which rank has which changes nothing.
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}
        self._seen: list[dict[str, float]] = []

    def seen(self, norms: Mapping[str, Tensor]) -> Callable[[str, str], float]:
        """The ratio of two of the means, this micro-batch among them."""
        own = {name: norm.item() for name, norm in norms.items()}
        self._seen.append(own)
        means = self._with(own)
        return lambda above, below: means[above] / max(means[below], 1e-12)

    def settle(self) -> None:
        """At the end of a step: those of all its micro-batches count."""
        if found := ranks.means(self._seen):
            self.norms = self._with(found)
        self._seen = []

    def _with(self, found: Mapping[str, float]) -> dict[str, float]:
        mixed = {name: 0.95 * self.norms.get(name, new) + 0.05 * new for name, new in found.items()}
        return self.norms | mixed

    def state_dict(self) -> dict[str, float]:
        return dict(self.norms)

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.norms = dict(state_dict)


def noised(
    schedule: Schedule, x0: Tensor, low: float, high: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, its noise and t, t between two shares of T."""
    share = low + (high - low) * torch.rand(len(x0), generator=generator)
    t = (share * len(schedule)).long().clamp(max=schedule.last).to(x0.device)
    noise = torch.randn(x0.shape, generator=generator).to(x0.device)
    return schedule.add_noise(x0, noise, t), noise, t


class Scores:
    """The two score models.

    offline: frozen, seen with `guidance`. online: begins as it, or as another of the same noise,
    and follows the student. also: a module that learns with it.
    """

    def __init__(
        self, offline: Model, online: Denoiser, guidance: float, lr: float,
        scale: Scale = ALL_AT_ONCE, also: nn.Module | None = None,
    ) -> None:  # fmt: skip
        self.offline, self.online, self.guidance = offline, online, guidance
        self.learner = Learner("online", online.unet, lr, also=also, optimizer="online_optimizer",
                               scale=scale)  # fmt: skip
        self.nothing = offline.nothing

    def following(
        self, x0: Tensor, words: Words, generator: torch.Generator, bind: Bind = plainly
    ) -> MicroBatch:
        """What keeps the online model true to the student's pictures (eq. 1)."""
        schedule = self.online.schedule
        x, noise, t = noised(schedule, x0, 0, 1, generator)
        said = self.online.with_unet(bind(self.online.unet)).predict(x, t, words)
        loss = F.mse_loss(said, schedule.target(x0, noise, t))
        return MicroBatch(loss, {"online": loss.item()})

    @torch.no_grad()
    def pull(
        self, x0: Tensor, words: Words, alpha: float, generator: torch.Generator,
        bind: Bind = plainly,
    ) -> Tensor:  # fmt: skip
        """Eq. 12, normalised: where the scores want x0 (B, 4, h, w) not to go."""
        schedule = self.offline.schedule
        x, _, t = noised(schedule, x0, LOWEST, alpha, generator)
        fake = self.online.with_unet(bind(self.online.unet)).x0(x, t, words)
        both = Words.joined([words, self.nothing.repeated(len(x0))])
        offline = self.offline.with_unet(bind(self.offline.unet))
        real = schedule.x0(x, offline.guided(x, t, both, self.guidance), t)
        return score_direction(x0, fake, real, t, schedule.alphas)
