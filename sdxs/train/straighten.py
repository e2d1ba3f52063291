"""Optional, before the pairs: straighter trajectories (paper, section 3.2, after LCM).

Pairs of noise and picture are the harder to match, the more the paths from one to the other cross.
A copy of the multi-step model learns to say, from every point of a guided path, where the path ends
(consistency distillation, arXiv 2310.04378, eq. 13 to 15): the end that it names a point further
down, and from the last point the end that the solver reaches. A few steps without guidance then do
what many with guidance did: `sdxs.train.pairs --guidance 1 --steps 4`. The
warm-up can begin with such a model, too.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.schedule import add_noise, noise_from_velocity, x0_from_velocity
from sdxs.train.parts.latents import LatentOptions
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.models import ALPHAS
from sdxs.train.parts.solver import Model, read_unet
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, predict
from sdxs.train.run.options import option
from sdxs.train.run.stages import GUIDANCE, MULTI_STEP

POINTS = 50  # of a path: those of DDIM with so many steps
SLOW = 0.95  # decay of the weights that say where the path ends


def ddim(x: Tensor, v: Tensor, t: Tensor, to: Tensor) -> Tensor:
    """One step of DDIM (arXiv 2010.02502, eq. 12, eta 0) from timesteps `t` to `to`, each (B,)."""
    x0, noise = x0_from_velocity(x, v, t, ALPHAS), noise_from_velocity(x, v, t, ALPHAS)
    return add_noise(x0, noise, to, ALPHAS)


class Options(LatentOptions, steps=1500, batch=32, lr=1e-4, pictures=40000, seed=10):
    teacher: Path = stage.needs("the multi-step model", *MULTI_STEP)
    guidance: float = option(GUIDANCE, "that the paths are taken with")


def train(options: Options) -> None:
    """Leave a model of few steps in `run`. Raises TrainingError."""
    batch = options.batch
    model = Model.load(options.teacher)
    vae, data = options.encoded(model.resolution)
    student, slow = (read_unet(options.teacher) for _ in range(2))
    slow.requires_grad_(False)
    learner = Learner("student", student, options.lr, 0.999)
    stride = len(ALPHAS) // POINTS

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x0, texts, _ = data.batch(batch, generator)
        noise = torch.randn(x0.shape, generator=generator)
        point = torch.randint(POINTS, (batch,), generator=generator).to(DEVICE)
        t, to = stride * (point + 1) - 1, (stride * point - 1).clamp(min=0)
        x = add_noise(x0.to(DEVICE), noise.to(DEVICE), t, ALPHAS)
        contexts = model.contexts(texts)  # (2 B, L, D)
        context = contexts[:batch]
        with torch.no_grad():
            v = model.guided(x, t, contexts, options.guidance)
            near = ddim(x, v, t, to)
            end = x0_from_velocity(near, predict(slow, near, to, context), to, ALPHAS)
            last = (point == 0)[:, None, None, None]
            end = torch.where(last, x0_from_velocity(x, v, t, ALPHAS), end)
        ours = x0_from_velocity(x, predict(student, x, t, context), t, ALPHAS)
        loss = F.smooth_l1_loss(ours, end, beta=0.1)  # Huber's, times a constant
        learner.update(loss, loop.trapezoid(index, options.steps, warmup=50))
        with torch.no_grad():
            for late, early in zip(slow.parameters(), student.parameters(), strict=True):
                late.lerp_(early, 1 - SLOW)
        return {"loss": loss.item()}

    facts = {**model.facts, "encoder": loop.fingerprint(vae.encoder)}
    parts = {**learner.parts, "slow": slow}
    with stage.trained(options, parts, step, facts, flat=loop.FLAT, spent=data.seconds):
        learner.settle()
        student.save_pretrained(options.run / "unet")
        stage.hand_on(options.teacher, options.run)


main = stage.main(Options, train, __name__)
