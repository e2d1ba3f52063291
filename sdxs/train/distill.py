"""Stage e: the one-step U-Net by scores, by an adversary, by a reader's reward, by any of them.

Scores: segmented score distillation (`sdxs.train.segmented`), some updates of the online model,
then one of the one-step model, half of whose batch are noises of pairs, for feature matching.
Adversary: a critic to which encoded renders are the real pictures (`sdxs.train.adversary`). Reward:
what a frozen reader finds missing of the caption (`sdxs.train.reward`). With scores the fresh half
of the batch is theirs, else all of it. A keep term holds the latents near those of the U-Net that
it began with, so that controls and styles made for that one stay valid. With a guard, a second
reader, the weights that are best on held-out captions are left, not the last ones
(`sdxs.train.best`).
"""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.train import loop, segmented, stage
from sdxs.train.best import Best, guarded
from sdxs.train.features import encoder_of, load_encoder
from sdxs.train.judged import Judged, Weights
from sdxs.train.machine import DEVICE, placed, short_attention
from sdxs.train.pairs import Pairs
from sdxs.train.reading import Reader
from sdxs.train.segmented import ALPHA, ALPHAS, HOLD, KAPPA, Balance, Scores, eased
from sdxs.train.solver import Model, one_step

NOTHING = Weights()
CRITICS = ("apart", "online")  # a network of its own, or heads on the online model's features
LOOK = 250  # steps between two looks of the guard


def train(
    run: Path,
    *,
    begin: Path,
    teacher: Path | None = None,
    pairs: Path | None = None,
    autoencoder: Path | None = None,
    reader: Path | None = None,
    guard: Path | None = None,
    scores: float = 1.0,
    judged: Weights = NOTHING,
    pictures: int = 12000,
    encoder: Path | None = None,
    steps: int,
    online_steps: int,
    online_first: int,
    batch: int,
    lr: float,
    online_lr: float,
    critic: str = "apart",
    critic_lr: float = 1.5e-4,
    guidance: float | None,
    fixed: bool,
    held_out: int = 150,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a one-step model in `run`.

    scores: their weight; they need `teacher` and `pairs`. judged: the weights of what needs
    `autoencoder`, for renders, and `reader` (`sdxs.train.judged`). critic: one of CRITICS.
    encoder: whose features are matched, instead of the offline model's own. online_steps: updates
    of the online model before each of the one-step model's; online_first: those before the first,
    which count as steps. guidance: of the offline model, None for that of the pairs. fixed: hold
    alpha and kappa where they start. held_out: captions of each kind for the guard. Raises
    TrainingError.
    """
    if not scores and not judged:
        raise loop.TrainingError("nothing to learn by: give --scores, --adversary or --reward")
    if scores and (teacher is None or pairs is None):
        raise loop.TrainingError("scores need --teacher and --pairs; --scores 0 leaves them out")
    if scores and steps <= online_first:
        raise loop.TrainingError(
            f"{steps} steps are not enough: the first {online_first} are the online model's alone"
        )
    if critic == "online" and not scores:
        raise loop.TrainingError("a critic on the online model's features needs scores")
    online_first = online_first if scores else 0
    student = placed(UNet2DConditionModel.from_pretrained(begin / "unet"))
    model = Model.load(teacher if scores and teacher else begin)
    side = student.config["sample_size"]
    settings: dict[str, Any] = {
        "begins_with": loop.fingerprint(student),
        "text": loop.fingerprint(model.text),
        "batch": batch,
        "lr": lr,
    }
    betas = (0.9 if scores else 0.0, 0.99)  # momentum lags behind a critic that moves along
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, betas=betas, fused=True)
    ema = EMAModel(student.parameters(), decay=0.999, foreach=True)
    parts: dict[str, loop.Stateful] = {
        "student": student,
        "student_optimizer": optimizer,
        "ema": ema,
    }
    if scores and teacher and pairs:
        data = Pairs(pairs)
        guidance = data.guidance if guidance is None else guidance
        online = placed(UNet2DConditionModel.from_pretrained(teacher / "unet"))
        two, balance = Scores(model, online, guidance), Balance()
        encode = encoder_of(encoder, model.unet)
        parts |= {"balance": balance, **two.parts}
        settings |= {
            "teacher": loop.fingerprint(model.unet),
            "pairs": {**data.settings, "count": len(data.prompts)},
            "online_steps": online_steps,
            "online_first": online_first,
            "online_lr": online_lr,
            "guidance": guidance,
            "fixed": fixed,
            "encoder": None if encoder is None else loop.fingerprint(load_encoder(encoder)),
        }
    if judged:
        first = copy.deepcopy(student).eval().requires_grad_(False)
        judges = Judged(
            run, judged, autoencoder=autoencoder, reader=reader, side=side, pictures=pictures,
            online=online if critic == "online" else None,
            before=lambda noise, context: one_step(first, noise, context, ALPHAS),
            text_width=model.text.config.hidden_size, critic_lr=critic_lr, seed=seed,
        )  # fmt: skip
        parts |= judges.parts
        settings |= {"scores": scores, **judges.settings}
    if guard:
        watcher, best = placed(Reader.load(guard / "reader")), Best(student, run)
        parts["best"] = best
        settings |= {"guard": loop.fingerprint(watcher), "held_out": held_out}

    def by_scores(
        ours: Tensor, target: Tensor, context: Tensor, done: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Eq. 11 on all of `ours`, whose first rows have a target."""
        whole = steps - online_first
        alpha, kappa = (ends[0] if fixed else eased(done, whole, ends) for ends in (ALPHA, KAPPA))
        features, matching = segmented.matching_pull(encode, ours, target, context)
        pull = two.pull(ours.detach(), context, alpha, generator)
        both = segmented.together(pull, features, kappa, balance)
        mse = F.mse_loss(ours[: len(target)].detach(), target).item()
        return scores * both, {"matching": matching, "mse": mse}

    def look(done: int) -> None:
        """Show the guard what the running mean of the weights paints."""

        def paint(texts: list[str], noise: Tensor) -> Tensor:
            return one_step(student, noise, model.embed(texts), ALPHAS)

        ema.store(student.parameters())
        ema.copy_to(student.parameters())
        best.look(done, guarded(paint, watcher, held_out, side))
        ema.restore(student.parameters())

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        done, whole = index - online_first, steps - online_first
        told: dict[str, float] = {}
        if scores:
            loop.set_lr(two.optimizer, online_lr * min(1.0, (index + 1) / 50))
            for _ in range(1 if done < 0 else online_steps):
                told["online"] = two.follow_fresh(student, data, batch, generator)
            if done < 0:
                return told
        loop.set_lr(optimizer, lr * loop.trapezoid(done, whole, warmup=50))

        paired, target, texts = data.batch(batch // 2, generator) if scores else (None, None, [])
        count = batch - len(texts)
        if judged:
            drawn = judges.draw(count, generator)
            noise, more = drawn.noise, drawn.texts
        else:
            noise, more = data.fresh(count, generator)
        if paired is not None:
            noise = torch.cat((paired.to(DEVICE), noise.to(DEVICE)))
        context = model.embed([*texts, *more])
        ours = one_step(student, noise, context, ALPHAS)
        x0 = ours.detach()
        pull = torch.zeros_like(x0)
        if target is not None:
            part, found = by_scores(ours, target.to(DEVICE), context, done, generator)
            pull, told = pull + part, told | found
        if judged:
            rest = slice(len(texts), None)
            part, found = judges.pull(
                x0[rest], drawn, context[rest], generator, done=done, whole=whole
            )
            pull[rest] += part
            told |= found
        with short_attention():
            ours.backward(pull)
        segmented.update(optimizer, student.parameters())
        ema.step(student.parameters())
        if guard and ((done + 1) % LOOK == 0 or done + 1 == whole):
            look(index + 1)
        return {
            **told,
            "mean": x0.mean((0, 2, 3)).abs().max().item(),
            "deviation": x0.std((0, 2, 3)).mean().item(),
        }

    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="distillation",
        save_seconds=save_seconds, flat=HOLD,
    )  # fmt: skip
    ema.copy_to(student.parameters())
    if guard:
        best.settle()
        settings["best"] = best.step
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher or begin, run)
    stage.finish(run, "distill", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("distill", __doc__, steps=5000, batch=32, lr=1e-4, seed=6)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP,
                words="offline model, and what the online one begins with; for scores")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", words="its noises and pictures; for scores")
    stage.needs(parser, "--begin", *stage.ONE_STEP, default="warmup",
                words="the one-step U-Net to begin with")  # fmt: skip
    stage.needs(parser, "--encoder", "encoders",
                words="features of a CNN or ViT instead of the multi-step U-Net's own")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder",
                words="for renders as real pictures; for adversary and reward")  # fmt: skip
    stage.needs(parser, "--reader", "reader", words="what the reward is read by")
    stage.needs(parser, "--guard", "reader", words="a second one, to choose the best weights by")
    add("--scores", type=float, default=1.0,
        help="weight of segmented score distillation; 0 is off")  # fmt: skip
    for name, words in (
        ("adversary", "the critic's loss"),
        ("reward", "what the reader finds missing"),
        ("keep", "the distance to what was painted at first, of which a tenth is left at last"),
    ):
        add(f"--{name}", type=float, default=0.0, help=f"weight of {words}; 0 is off")
    add("--pictures", type=stage.positive, default=12000, help="renders that are real pictures")
    add("--held-out", type=stage.positive, default=150, help="captions of each kind for the guard")
    add("--critic", choices=CRITICS, default="apart",
        help="a network of its own, or heads on the features of the online model")  # fmt: skip
    add("--critic-lr", type=float, default=1.5e-4, help="learning rate of the critic")
    add("--online-steps", type=stage.positive, default=2,
        help="updates of the online model before each")  # fmt: skip
    add("--online-first", type=stage.positive, default=80,
        help="updates of the online model alone, at first")  # fmt: skip
    add("--online-lr", type=float, default=3e-4, help="learning rate of the online model")
    add("--guidance", type=float, help="of the offline model (default: that of the pairs)")
    add("--fixed", action="store_true", help="hold alpha and kappa, for the ablation")
    options = vars(parser.parse_args(arguments))
    judged = Weights(*(options.pop(field.name) for field in dataclasses.fields(Weights)))
    train(options.pop("run"), judged=judged, **options)


if __name__ == "__main__":
    stage.command(main)
