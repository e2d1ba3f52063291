"""Stage e: the one-step U-Net by scores, by an adversary, by a reader's reward, by any of them.

Scores: segmented score distillation (`sdxs.train.parts.segmented`), some updates of the online
model, then one of the one-step model, half of whose batch are noises of pairs, for feature
matching, and half are fresh ones. Adversary and reward (`sdxs.train.parts.supervision`): encoded
renders, or a folder's pictures, are the real ones, a frozen reader says what is missing of a
render's caption; with scores the fresh half of the batch is theirs, without them all of it, and
DMD2's discriminator has the same in the online model's updates. With a guard, a second reader, the
weights that are best on held-out captions are left, not the last ones.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.batches import drawn
from sdxs.train.parts.best import Best, guarded
from sdxs.train.parts.denoiser import leave
from sdxs.train.parts.distillation import (
    Distillation,
    DistillationOptions,
    keeping,
    matching,
)
from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.pairs import FOLLOW, Pairs, begun
from sdxs.train.parts.prompts import FRESH
from sdxs.train.parts.segmented import HOLD, Scores
from sdxs.train.parts.shown import open_reader
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Supervision, SupervisionOptions
from sdxs.train.run import loop, stage
from sdxs.train.run.options import option, positive
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP

LOOK = 250  # steps between two looks of the guard


class Options(DistillationOptions, SupervisionOptions, steps=5000, lr=1e-4, seed=6):
    offline: Path | None = stage.takes(
        "offline model, and what the online one begins with: for scores, with its pairs",
        *MULTI_STEP,
    )
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    online: Path | None = stage.takes(
        "what the online model begins with, if not with that", *MULTI_STEP
    )
    pairs: Path | None = option(None, "its noises and pictures", type=begun, metavar="FOLDER")
    follow: int | None = option(None, FOLLOW, type=positive, recorded="never")
    prompts: str | None = option(None, FRESH, recorded="never")
    student: Path = stage.needs("the one-step U-Net to begin with", *ONE_STEP)
    guard: Path | None = stage.takes("a second reader, to choose the best weights by", "reader")
    encoder: Path | None = stage.takes(
        "features of a CNN or ViT instead of the multi-step U-Net's own", "encoders"
    )
    keep: float = option(
        0.0, "weight of the squared error from what was painted at first; 0 is off",
        recorded="given",
    )  # fmt: skip
    held_out: int = option(
        150, "captions of each kind for the guard", type=positive, recorded="never"
    )
    guidance: float | None = option(
        None, "of the offline model (default: that of the pairs)", type=float
    )
    fixed: bool = option(False, "hold alpha and kappa, for the ablation")
    unmatched: bool = option(
        False, "scores without feature matching beside them, for the ablation", recorded="given"
    )

    def check(self, warmup: int = 0) -> None:
        self.check_sources("offline", "pairs")
        if self.unmatched and self.kappa:
            raise loop.TrainingError("--unmatched leaves feature matching out: give no --kappa")
        if self.offline:
            super().check(warmup)


def watch(x0: Tensor) -> dict[str, float]:
    """Whether the pictures keep to latents of mean 0 and deviation 1."""
    return {
        "mean": x0.mean((0, 2, 3)).abs().max().item(),
        "deviation": x0.std((0, 2, 3)).mean().item(),
    }


def guarding(
    guard: Path, options: Options, model: Model, learner: Learner, best: Best
) -> Callable[[int], None]:
    """What shows the guard, now and then, what the running mean of the weights paints."""
    reader = open_reader(guard)

    def paint(texts: list[str], noise: Tensor) -> Tensor:
        return model.with_unet(best.network).one_step(noise, model.embed(texts))

    def look(done: int) -> None:
        if done % LOOK == 0 or done == options.steps:
            with learner.averaged():
                best.look(done, guarded(paint, reader, options.held_out, model.latent_shape[1]))

    return look


def train(options: Options) -> None:
    """Leave a one-step model in `run`. Raises TrainingError."""
    options.check()
    batch, encoder = options.at_once, options.encoder
    model = Model.load(options.offline or options.student, options.text)
    student = model.fit(options.student)
    facts: dict[str, Any] = {"begins_with": loop.fingerprint(student.unet), **model.facts}
    scores = data = online = supervision = None
    terms, beside = [], []
    if options.offline and options.pairs:
        data = Pairs(options.pairs, options.prompts, options.follow, side=model.resolution)
        online = model.fit(options.online or options.offline)
        encode = encoder_of(encoder, model.unet)
        terms = [] if options.unmatched else [matching(encode, options.strength)]
        seen_by = encoder and loop.fingerprint(load_encoder(encoder))
        facts |= {"online": loop.fingerprint(online.unet)} if options.online else {}
        facts |= {**data.facts, "encoder": seen_by}
    if options.autoencoder and options.supervised:
        vae = Autoencoder.load(options.autoencoder)
        supervision = Supervision(options, vae, model, online=online)
        facts |= supervision.facts
    if online and data:
        guidance = data.guidance if options.guidance is None else options.guidance
        scores = Scores(model, online, guidance, options.online_lr, options.scale,
                        supervision and supervision.also)  # fmt: skip
        facts["guidance"] = guidance
    learner = Learner("student", student.unet, options.lr, 0.999, optimizer="student_optimizer",
                      scale=options.scale, betas=(0.9 if scores else 0.0, 0.99))  # fmt: skip
    parts = {**(data.parts if data else {}), **(supervision.parts if supervision else {})}
    paired = batch // 2 if data else 0
    draw = drawn(student, model, data, paired, batch - paired, supervision)
    alone = drawn(student, model, data, 0, batch)
    if options.keep:
        before = student.with_unet(copy.deepcopy(student.unet).eval().requires_grad_(False))
        beside.append(keeping(lambda batch: before, options.keep))
    distillation = Distillation(
        options,
        scores,
        learner,
        terms,
        draw=draw,
        draw_online=draw if supervision and supervision.also else alone,
        supervision=supervision,
        beside=beside,
        counted_from=options.online_first if scores else 0,
        fixed=options.fixed,
        watch=watch,
    )
    best, look = Best(student.unet, options.run), None
    if options.guard:
        look = guarding(options.guard, options, model, learner, best)
        parts["best"] = best

    def step(index: int, generator: torch.Generator) -> Mapping[str, float]:
        if data is not None:
            data.look(index)
        logged = distillation.step(index, generator)
        if look:
            look(index + 1)
        return logged

    with stage.trained(
        options, {**distillation.parts, **parts}, step, facts, flat=HOLD, frozen=model.networks
    ) as found:
        learner.settle()
        if look:
            best.settle()
            found["best"] = best.step
        if supervision:
            supervision.leave(options.run)
        leave(student, options.text or options.offline or options.student, options.run)


main = stage.main(Options, train, __name__)
