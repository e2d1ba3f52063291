"""Stage d: feature-matching warm-up (paper, section 3.2, eq. 10). From many steps to one.

The one-step model starts as the teacher, takes pure noise at the last timestep and learns to
give the picture that the teacher reaches in many steps from the same noise.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import feature_matching
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.solver import Model, one_step, read_unet
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast
from sdxs.train.run.options import ScaledOptions, option
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP


class Options(ScaledOptions, steps=8000, batch=32, lr=3e-4, seed=4):
    teacher: Path = stage.needs("the multi-step model", *MULTI_STEP)
    pairs: Path = stage.needs("its noises and pictures", "pairs")
    begin: Path | None = stage.takes(
        "a one-step or straightened U-Net to begin with instead", *ONE_STEP, "straighten"
    )
    encoder: Path | None = stage.takes(
        "features of a CNN or ViT instead of the multi-step U-Net's own", "encoders"
    )
    matching: float = option(1.0, "weight of eq. 10; 0 leaves the squared error")
    mse: float = option(0.3, "weight of the squared error beside it")


def train(options: Options) -> None:
    """Leave a one-step model in `run`. Raises TrainingError."""
    model, data, encoder = Model.load(options.teacher), Pairs(options.pairs), options.encoder
    student = read_unet(options.begin or options.teacher)
    facts = {
        "begins_with": loop.fingerprint(student),
        **model.facts,
        **data.facts,
        "encoder": encoder and stage.read(encoder)["kind"],
        "encoder_weights": encoder and loop.fingerprint(load_encoder(encoder)),
    }
    encode = encoder_of(encoder, model.unet)
    learner = Learner("student", student, options.lr, 0.998, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        noise, target, texts = data.batch(options.at_once, generator)
        noise, target = noise.to(DEVICE), target.to(DEVICE)
        context = model.embed(texts)  # (B, L, D)
        ours = one_step(student, noise, context)
        losses = {"mse": F.mse_loss(ours, target)}
        loss = options.mse * losses["mse"]
        if options.matching:
            with fast():
                losses["matching"] = feature_matching(encode, ours, target, context)
            loss = loss + options.matching * losses["matching"]
        mean = ours.detach().mean((0, 2, 3)).abs().max()
        logged = {name: value.item() for name, value in (losses | {"mean": mean}).items()}
        return MicroBatch(loss, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        return learner.learn(generator, loop.trapezoid(index, options.steps, warmup=50), one)

    frozen = {"multi-step U-Net": model.unet, "text encoder": model.text}
    with stage.trained(options, learner.parts, step, facts, flat=loop.FLAT, frozen=frozen):
        learner.settle()
        student.save_pretrained(options.run / "unet")
        stage.hand_on(options.teacher, options.run)


main = stage.main(Options, train, __name__)
