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
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.schedule import add_noise, noise_from_velocity, x0_from_velocity
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.models import FACTOR, build_scheduler
from sdxs.train.parts.solver import GUIDANCE, Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed, predict

POINTS = 50  # of a path: those of DDIM with so many steps
SLOW = 0.95  # decay of the weights that say where the path ends


def ddim(x: Tensor, v: Tensor, t: Tensor, to: Tensor, alphas: Tensor) -> Tensor:
    """One step of DDIM (arXiv 2010.02502, eq. 12, eta 0) from timesteps `t` to `to`, each (B,)."""
    x0, noise = x0_from_velocity(x, v, t, alphas), noise_from_velocity(x, v, t, alphas)
    return add_noise(x0, noise, to, alphas)


def train(
    run: Path,
    *,
    teacher: Path,
    autoencoder: Path,
    steps: int,
    batch: int,
    lr: float,
    pictures: int,
    guidance: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a model of few steps in `run`; guidance: that of the paths. Raises TrainingError."""
    model = Model.load(teacher)
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    resolution = FACTOR * model.unet.config["sample_size"]
    data = encode_scenes(run, vae, pictures, seed, resolution)
    student, slow = (
        placed(UNet2DConditionModel.from_pretrained(teacher / "unet")) for _ in range(2)
    )
    slow.requires_grad_(False)
    learner = Averaged(student, lr, decay=0.999)
    alphas = build_scheduler().alphas_cumprod
    stride = len(alphas) // POINTS

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x0, texts, _ = data.batch(batch, generator)
        noise = torch.randn(x0.shape, generator=generator)
        point = torch.randint(POINTS, (batch,), generator=generator).to(DEVICE)
        t, to = stride * (point + 1) - 1, (stride * point - 1).clamp(min=0)
        x = add_noise(x0.to(DEVICE), noise.to(DEVICE), t, alphas)
        contexts = model.contexts(texts)  # (2 B, L, D)
        context = contexts[:batch]
        with torch.no_grad():
            v = model.guided(x, t, contexts, guidance)
            near = ddim(x, v, t, to, alphas)
            end = x0_from_velocity(near, predict(slow, near, to, context), to, alphas)
            last = (point == 0)[:, None, None, None]
            end = torch.where(last, x0_from_velocity(x, v, t, alphas), end)
        ours = x0_from_velocity(x, predict(student, x, t, context), t, alphas)
        loss = F.smooth_l1_loss(ours, end, beta=0.1)  # Huber's, times a constant
        learner.update(loss, loop.trapezoid(index, steps, warmup=50))
        with torch.no_grad():
            for late, early in zip(slow.parameters(), student.parameters(), strict=True):
                late.lerp_(early, 1 - SLOW)
        return {"loss": loss.item()}

    settings = {
        "teacher": loop.fingerprint(model.unet),
        "text": loop.fingerprint(model.text),
        "encoder": loop.fingerprint(vae.encoder),
        "batch": batch,
        "lr": lr,
        "pictures": pictures,
        "guidance": guidance,
    }
    parts = {"student": student, "slow": slow, **learner.parts}
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="straightening",
        save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher, run)
    stage.finish(run, "straighten", data.seconds + seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "straighten", __doc__, steps=1500, batch=32, lr=1e-4, pictures=40000, seed=10
    )
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks",
                words="the multi-step model")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are painted")  # fmt: skip
    parser.add_argument(
        "--guidance", type=float, default=GUIDANCE, help="that the paths are taken with"
    )
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
