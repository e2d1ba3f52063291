"""Stage e: segmented score distillation (paper, section 3.2, algorithm 1, eq. 11 and 12).

The one-step model learns from two sides. Below alpha T, the difference of two scores says how its
pictures lie beside those of the multi-step model: the offline one (frozen, guided) and the online
one, which is kept true to the one-step model's own pictures. Above alpha T, where such scores are
inaccurate, feature matching on noise-picture pairs takes their place. Both weights start high and
fall. One step: some updates of the online model, then one of the one-step model.
"""

import math
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.schedule import add_noise, velocity, x0_from_velocity
from sdxs.train import loop, stage
from sdxs.train.features import encoder_of, load_encoder
from sdxs.train.losses import feature_matching, score_direction
from sdxs.train.machine import DEVICE, fast, placed, predict, short_attention
from sdxs.train.models import build_scheduler
from sdxs.train.pairs import Pairs, draw_prompts
from sdxs.train.solver import Model, one_step

ALPHA = (0.98, 0.70)  # share of the timesteps that belong to the scores: at first, at last
KAPPA = (2.0, 0.5)  # pull of feature matching, relative to that of the scores: at first, at last
HOLD = 0.3  # share of the steps before the two begin to fall
LOWEST = 0.02  # timestep of a score, as a share of T; below it both are noise


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


def train(
    run: Path,
    *,
    teacher: Path,
    pairs: Path,
    begin: Path,
    encoder: Path | None = None,
    steps: int,
    online_steps: int,
    online_first: int,
    batch: int,
    lr: float,
    online_lr: float,
    guidance: float | None,
    fixed: bool,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a one-step model in `run`.

    encoder: whose features are matched, instead of the offline model's own. online_steps: updates
    of the online model before each of the one-step model's; online_first: those before the first,
    which count as steps. guidance: of the offline model, None for that of the pairs. fixed: hold
    alpha and kappa where they start. Raises TrainingError.
    """
    if steps <= online_first:
        raise loop.TrainingError(
            f"{steps} steps are not enough: the first {online_first} are the online model's alone"
        )
    offline, data = Model.load(teacher), Pairs(pairs)
    guidance = data.guidance if guidance is None else guidance
    student, online = (
        placed(UNet2DConditionModel.from_pretrained(folder / "unet")) for folder in (begin, teacher)
    )
    optimizers = {
        name: torch.optim.AdamW(network.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True)
        for name, network in (("student", student), ("online", online))
    }
    ema = EMAModel(student.parameters(), decay=0.999, foreach=True)
    balance = Balance()
    alphas = build_scheduler().alphas_cumprod
    timesteps = len(alphas)
    nothing = offline.embed([""])  # (1, L, D), for the guidance
    encode = encoder_of(encoder, offline.unet)

    def fresh(count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        """Noise and prompts that belong to no pair."""
        texts = draw_prompts(loop.plain(generator), count)
        noise = torch.randn((count, *data.noise.shape[1:]), generator=generator)
        return noise.to(DEVICE), texts

    def noised(x0: Tensor, low: float, high: float, generator: torch.Generator) -> list[Tensor]:
        """x_t, its noise and t, t between two shares of T."""
        share = low + (high - low) * torch.rand(len(x0), generator=generator)
        t = (share * timesteps).long().clamp(max=timesteps - 1).to(DEVICE)
        noise = torch.randn(x0.shape, generator=generator).to(DEVICE)
        return [add_noise(x0, noise, t, alphas), noise, t]

    def follow(generator: torch.Generator) -> float:
        """Keep the online model true to the one-step model's pictures (eq. 1)."""
        noise, texts = fresh(batch, generator)
        context = offline.embed(texts)
        with torch.no_grad():
            x0 = one_step(student, noise, context, alphas)
        x, noise, t = noised(x0, 0, 1, generator)
        loss = F.mse_loss(predict(online, x, t, context), velocity(x0, noise, t, alphas))
        with short_attention():
            loss.backward()
        update("online", online)
        return loss.item()

    def score_pull(x0: Tensor, context: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
        """Eq. 12, normalised: where the scores want x0 (B, 4, h, w) not to go."""
        x, _, t = noised(x0, LOWEST, alpha, generator)
        with torch.no_grad():
            fake = x0_from_velocity(x, predict(online, x, t, context), t, alphas)
            both = torch.cat((context, nothing.expand(len(x0), -1, -1)))
            real = x0_from_velocity(x, offline.guided(x, t, both, guidance), t, alphas)
        return score_direction(x0, fake, real, t, alphas)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizers["online"], online_lr * min(1.0, (index + 1) / 50))
        for _ in range(1 if index < online_first else online_steps):
            followed = follow(generator)
        if index < online_first:
            return {"online": followed}
        done, whole = index - online_first, steps - online_first
        loop.set_lr(optimizers["student"], lr * loop.trapezoid(done, whole, warmup=50))
        alpha, kappa = (ends[0] if fixed else eased(done, whole, ends) for ends in (ALPHA, KAPPA))

        paired, target, texts = data.batch(batch // 2, generator)
        paired, target = paired.to(DEVICE), target.to(DEVICE)
        noise, more = fresh(batch - batch // 2, generator)
        context = offline.embed([*texts, *more])
        ours = one_step(student, torch.cat((paired, noise)), context, alphas)
        leaf = ours.detach().requires_grad_()
        with fast():
            matching = feature_matching(encode, leaf[: len(target)], target, context[: len(target)])
        with short_attention():
            (pull_fm,) = torch.autograd.grad(matching, leaf)
        pull_sd = score_pull(leaf.detach(), context, alpha, generator) / leaf.numel()
        balance.update(scores=pull_sd.norm(), matching=pull_fm.norm())
        strength = kappa * balance.ratio("scores", "matching")  # lambda_FM
        with short_attention():
            ours.backward(pull_sd + strength * pull_fm)
        update("student", student)
        ema.step(student.parameters())
        return {
            "online": followed,
            "matching": matching.item(),
            "mse": F.mse_loss(leaf[: len(target)], target).item(),
            "mean": leaf.mean((0, 2, 3)).abs().max().item(),
            "deviation": leaf.std((0, 2, 3)).mean().item(),
        }

    def update(name: str, network: nn.Module) -> None:
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)

    settings = {
        "begins_with": loop.fingerprint(student),
        "teacher": loop.fingerprint(offline.unet),
        "text": loop.fingerprint(offline.text),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "online_steps": online_steps,
        "online_first": online_first,
        "batch": batch,
        "lr": lr,
        "online_lr": online_lr,
        "guidance": guidance,
        "fixed": fixed,
        "encoder": None if encoder is None else loop.fingerprint(load_encoder(encoder)),
    }
    parts = {
        "student": student,
        "online": online,
        "student_optimizer": optimizers["student"],
        "online_optimizer": optimizers["online"],
        "ema": ema,
        "balance": balance,
    }
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="score distillation",
        save_seconds=save_seconds, flat=HOLD,
    )  # fmt: skip
    ema.copy_to(student.parameters())
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher, run)
    stage.finish(run, "distill", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("distill", __doc__, steps=5000, batch=32, lr=1e-4, seed=6)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks",
                words="offline model, and what the online one begins with")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", default="pairs", words="its noises and pictures")
    stage.needs(parser, "--begin", *stage.ONE_STEP, default="warmup",
                words="the one-step U-Net to begin with")  # fmt: skip
    stage.needs(parser, "--encoder", "encoders",
                words="features of a CNN or ViT instead of the multi-step U-Net's own")  # fmt: skip
    add("--online-steps", type=stage.positive, default=2,
        help="updates of the online model before each")  # fmt: skip
    add("--online-first", type=stage.positive, default=80,
        help="updates of the online model alone, at first")  # fmt: skip
    add("--online-lr", type=float, default=3e-4, help="learning rate of the online model")
    add("--guidance", type=float, help="of the offline model (default: that of the pairs)")
    add("--fixed", action="store_true", help="hold alpha and kappa, for the ablation")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
