"""Stage b: block removal (paper, section 3.1, eq. 6 to 8; BK-SDM, arXiv 2305.15798).

A multi-step model in Stable Diffusion's layout becomes one in SDXS's: the middle, the lowest stage,
one of two blocks in every stage and the attention of the highest are gone. What is left starts as
the teacher's own blocks and learns to give its outputs (OKD) and its features (FKD); there is no
denoising loss.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from sdxs.train.parts.block_removal import FEATURES, feature_loss, removed
from sdxs.train.parts.denoising import diffused
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, LatentOptions
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.models import PRESETS, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed, predict
from sdxs.train.run.options import ScaledOptions, option


class Options(LatentOptions, ScaledOptions, steps=4000, batch=64, lr=2e-4, pictures=40000, seed=7):
    teacher: Path = stage.needs("a multi-step model in Stable Diffusion's layout", "teacher")
    weight: float = option(1.0, "lambda_F of eq. 8")


def train(options: Options) -> None:
    """Leave a tiny multi-step model in `run`. Raises TrainingError if the teacher is tiny."""
    made = stage.read(options.teacher)
    if made["layout"] != "sd":
        raise loop.TrainingError(
            f"{options.teacher} has no blocks to remove: train it with --layout sd, or use it as "
            "it is"
        )
    model = Model.load(options.teacher)
    vae, data = options.encoded(model.resolution)
    student = build_unet(PRESETS[made["preset"]], model.resolution)
    removed(model.unet, student)
    student = placed(student)
    ours, theirs = Tap(student, list(FEATURES)), Tap(model.unet, list(FEATURES.values()))
    learner = Learner("student", student, options.lr, 0.999, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        x0, texts, _ = data.batch(options.at_once, generator, empty=EMPTY)
        x, _, t = diffused(x0, generator)
        context = model.embed(texts)  # (B, L, D)
        with torch.no_grad():
            wanted = predict(model.unet, x, t, context)
        output = F.mse_loss(predict(student, x, t, context), wanted)  # eq. 6
        features = feature_loss(ours, theirs)
        logged = {"output": output.item(), "features": features.item()}
        return MicroBatch(output + options.weight * features, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        return learner.learn(generator, loop.trapezoid(index, options.steps), one)

    facts = {**model.facts, "encoder": loop.fingerprint(vae.encoder), "preset": made["preset"]}
    with stage.trained(
        options, learner.parts, step, facts, flat=loop.FLAT, spent=data.seconds,
        frozen={"teacher": model.unet, "text encoder": model.text},
    ):  # fmt: skip
        learner.settle()
        student.save_pretrained(options.run / "unet")
        stage.hand_on(options.teacher, options.run)


main = stage.main(Options, train, __name__)
