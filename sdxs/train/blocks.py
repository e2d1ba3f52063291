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
from sdxs.train.parts.denoiser import Denoiser, leave
from sdxs.train.parts.denoising import diffused
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, LatentOptions
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.models import PRESETS, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import option


class Options(LatentOptions, steps=4000, batch=64, lr=2e-4, pictures=40000, seed=7):
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
    unet = build_unet(PRESETS[made["preset"]], model.resolution)
    removed(model.unet, unet)
    student = Denoiser(placed(unet), model.schedule)
    ours, theirs = Tap(unet, list(FEATURES)), Tap(model.unet, list(FEATURES.values()))
    learner = Learner("student", unet, options.lr, 0.999)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x0, texts, _ = data.batch(options.batch, generator, empty=EMPTY)
        x, _, t = diffused(model.schedule, x0, generator)
        words = model.embed(texts)
        with torch.no_grad():
            wanted = model.predict(x, t, words)
        output = F.mse_loss(student.predict(x, t, words), wanted)  # eq. 6
        features = feature_loss(ours, theirs)
        loss = output + options.weight * features
        learner.update(loss, loop.trapezoid(index, options.steps))
        return {"output": output.item(), "features": features.item()}

    facts = {**model.facts, "encoder": loop.fingerprint(vae.encoder), "preset": made["preset"]}
    with stage.trained(options, learner.parts, step, facts, flat=loop.FLAT, spent=data.seconds):
        learner.settle()
        leave(student, options.teacher, options.run)


main = stage.main(Options, train, __name__)
