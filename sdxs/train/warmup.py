"""Stage d: feature-matching warm-up (paper, section 3.2, eq. 10). From many steps to one.

The one-step model starts as the multi-step model, or as what block removal left of it, takes pure
noise at the last timestep and learns to give the picture that the multi-step model reaches in many
steps from the same noise.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from sdxs.train.parts.denoiser import leave
from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import DISTS, feature_matching
from sdxs.train.parts.pairs import FOLLOW, Pairs, begun
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast
from sdxs.train.run.options import ScaledOptions, option, positive
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP


class Options(ScaledOptions, steps=8000, batch=32, lr=3e-4, seed=4):
    offline: Path = stage.needs("the multi-step model, of whose features eq. 10 is", *MULTI_STEP)
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    pairs: Path = option(
        Path("runs", "pairs"), "its noises and pictures", type=begun, metavar="FOLDER"
    )
    follow: int | None = option(None, FOLLOW, type=positive, recorded="never")
    student: Path | None = stage.takes(
        "the U-Net to begin with instead: one-step, straightened, or with blocks removed",
        *ONE_STEP,
        "straighten",
        "blocks",
    )
    encoder: Path | None = stage.takes(
        "features of a CNN or ViT instead of the multi-step U-Net's own", "encoders"
    )
    matching: float = option(1.0, "weight of eq. 10; 0 leaves the squared error")
    mse: float = option(0.3, "weight of the squared error beside it")
    dists: bool = option(False, DISTS, recorded="given")


def train(options: Options) -> None:
    """Leave a one-step model in `run`. Raises TrainingError."""
    model, encoder = Model.load(options.offline, options.text), options.encoder
    data = Pairs(options.pairs, follow=options.follow, side=model.resolution)
    student = model.fit(options.student or options.offline)
    facts = {
        "begins_with": loop.fingerprint(student.unet),
        **model.facts,
        **data.facts,
        "encoder": encoder and stage.read(encoder)["kind"],
        "encoder_weights": encoder and loop.fingerprint(load_encoder(encoder)),
    }
    encode = encoder_of(encoder, model.unet)
    learner = Learner("student", student.unet, options.lr, 0.998, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        noise, target, texts = data.batch(options.at_once, generator)
        noise, target = noise.to(DEVICE), target.to(DEVICE)
        words = model.embed(texts)
        ours = student.one_step(noise, words)
        losses = {"mse": F.mse_loss(ours, target)}
        loss = options.mse * losses["mse"]
        if options.matching:
            with fast():
                losses["matching"] = feature_matching(
                    encode, ours, target, words, dists=options.dists
                )
            loss = loss + options.matching * losses["matching"]
        mean = ours.detach().mean((0, 2, 3)).abs().max()
        logged = {name: value.item() for name, value in (losses | {"mean": mean}).items()}
        return MicroBatch(loss, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        data.look(index)
        return learner.learn(generator, loop.trapezoid(index, options.steps, warmup=50), one)

    parts, frozen = {**learner.parts, **data.parts}, model.networks
    with stage.trained(options, parts, step, facts, flat=loop.FLAT, frozen=frozen):
        learner.settle()
        leave(student, options.text or options.offline, options.run)


main = stage.main(Options, train, __name__)
