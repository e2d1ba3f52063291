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

from sdxs.train.parts.denoiser import leave
from sdxs.train.parts.latents import LatentOptions
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, sharding, stage
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.options import ScaledOptions, option
from sdxs.train.run.stages import GUIDANCE, MULTI_STEP

POINTS = 50  # of a path: those of DDIM with so many steps
SLOW = 0.95  # decay of the weights that say where the path ends


def ddim(schedule: Schedule, x: Tensor, said: Tensor, t: Tensor, to: Tensor) -> Tensor:
    """One step of DDIM (arXiv 2010.02502, eq. 12, eta 0) from timesteps `t` to `to`, each (B,)."""
    return schedule.add_noise(schedule.x0(x, said, t), schedule.noise(x, said, t), to)


class Options(LatentOptions, ScaledOptions, steps=1500, batch=32, lr=1e-4, pictures=40000, seed=10):
    teacher: Path = stage.needs("the multi-step model", *MULTI_STEP)
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    guidance: float = option(GUIDANCE, "that the paths are taken with")


def train(options: Options) -> None:
    """Leave a model of few steps in `run`. Raises TrainingError."""
    batch = options.at_once
    model = Model.load(options.teacher, options.text)
    data = options.data(model.resolution)
    student, slow = (model.fit(options.teacher) for _ in range(2))
    slow.unet.requires_grad_(False)
    if options.sharded:
        sharding.shard(slow.unet, whole=True)
    learner = Learner("student", student.unet, options.lr, 0.999, scale=options.scale)
    schedule = model.schedule
    stride = len(schedule) // POINTS

    def one(generator: torch.Generator) -> MicroBatch:
        x0, texts = data.batch(batch, generator)[:2]
        noise = torch.randn(x0.shape, generator=generator)
        point = torch.randint(POINTS, (batch,), generator=generator).to(DEVICE)
        t, to = stride * (point + 1) - 1, (stride * point - 1).clamp(min=0)
        x = schedule.add_noise(x0.to(DEVICE), noise.to(DEVICE), t)
        words = model.embed(texts)
        with torch.no_grad():
            said = model.guided(x, t, model.both(words), options.guidance)
            near = ddim(schedule, x, said, t, to)
            last = (point == 0)[:, None, None, None]
            end = torch.where(last, schedule.x0(x, said, t), slow.x0(near, to, words))
        ours = student.x0(x, t, words)
        loss = F.smooth_l1_loss(ours, end, beta=0.1)  # Huber's, times a constant
        return MicroBatch(loss, {"loss": loss.item()})

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        factor = loop.trapezoid(index, options.steps, warmup=50)
        logged = learner.learn(generator, factor, one)
        with torch.no_grad():
            for late, early in zip(slow.unet.parameters(), student.unet.parameters(), strict=True):
                late.lerp_(early, 1 - SLOW)
        return logged

    facts = {**model.facts, **data.facts}
    parts = {**learner.parts, "slow": slow.unet}
    with stage.trained(
        options, parts, step, facts, flat=loop.FLAT, spent=data.seconds, frozen=model.networks
    ):
        learner.settle()
        leave(student, options.text or options.teacher, options.run)


main = stage.main(Options, train, __name__)
