"""Stage e: segmented score distillation of the one-step U-Net (`sdxs.train.parts.segmented`).

One step: some updates of the online model, then one of the one-step model, half of whose batch are
noises of pairs, for feature matching, and half are fresh ones.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from sdxs.train.pairs import Pairs
from sdxs.train.parts import segmented
from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.segmented import ALPHA, ALPHAS, HOLD, KAPPA, Balance, Scores, eased
from sdxs.train.parts.solver import Model, one_step
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed


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
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True)
    scores = Scores(offline, online, guidance)
    ema = EMAModel(student.parameters(), decay=0.999, foreach=True)
    balance = Balance()
    encode = encoder_of(encoder, offline.unet)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(scores.optimizer, online_lr * min(1.0, (index + 1) / 50))
        for _ in range(1 if index < online_first else online_steps):
            followed = scores.follow_fresh(student, data, batch, generator)
        if index < online_first:
            return {"online": followed}
        done, whole = index - online_first, steps - online_first
        loop.set_lr(optimizer, lr * loop.trapezoid(done, whole, warmup=50))
        alpha, kappa = (ends[0] if fixed else eased(done, whole, ends) for ends in (ALPHA, KAPPA))

        paired, target, texts = data.batch(batch // 2, generator)
        paired, target = paired.to(DEVICE), target.to(DEVICE)
        noise, more = data.fresh(batch - batch // 2, generator)
        context = offline.embed([*texts, *more])
        ours = one_step(student, torch.cat((paired, noise.to(DEVICE))), context, ALPHAS)
        by_features, matching = segmented.matching_pull(encode, ours, target, context)
        by_scores = scores.pull(ours.detach(), context, alpha, generator)
        segmented.descend(ours, by_scores, by_features, kappa, balance)
        segmented.update(optimizer, student.parameters())
        ema.step(student.parameters())
        x0 = ours.detach()
        return {
            "online": followed,
            "matching": matching,
            "mse": F.mse_loss(x0[: len(target)], target).item(),
            "mean": x0.mean((0, 2, 3)).abs().max().item(),
            "deviation": x0.std((0, 2, 3)).mean().item(),
        }

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
        "student_optimizer": optimizer,
        "ema": ema,
        "balance": balance,
        **scores.parts,
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
