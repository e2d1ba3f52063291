"""Stage b: block removal (paper, section 3.1, eq. 6 to 8; BK-SDM, arXiv 2305.15798).

A multi-step model in Stable Diffusion's layout, or in SDXL's, becomes one in SDXS's
(`sdxs.train.parts.block_removal`). What is left starts as
the teacher's own blocks and learns to give its outputs (OKD) and its features (FKD); there is no
denoising loss.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from sdxs.train.parts.block_removal import feature_loss, removal
from sdxs.train.parts.denoiser import Denoiser, leave
from sdxs.train.parts.denoising import diffused
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, LatentOptions
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import ScaledOptions, option


class Options(LatentOptions, ScaledOptions, steps=4000, batch=64, lr=2e-4, pictures=40000, seed=7):
    teacher: Path = stage.needs("a multi-step model in SD's layout or SDXL's", "teacher")
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    weight: float = option(1.0, "lambda_F of eq. 8")


def train(options: Options) -> None:
    """Leave a tiny multi-step model in `run`. Raises TrainingError if the teacher is tiny."""
    model = Model.load(options.teacher, options.text)
    try:
        made = removal(model.unet.config)
    except loop.TrainingError as error:
        raise loop.TrainingError(f"{options.teacher}: {error}") from None
    data = options.data(model.resolution)
    unet = placed(made.left(model.unet))
    student = Denoiser(unet, model.schedule)
    names = made.features
    ours, theirs = Tap(unet, list(names)), Tap(model.unet, list(names.values()))
    learner = Learner("student", unet, options.lr, 0.999, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        x0, texts = data.batch(options.at_once, generator, empty=EMPTY)[:2]
        x, _, t = diffused(model.schedule, x0, generator)
        words = model.embed(texts)
        with torch.no_grad():
            wanted = model.predict(x, t, words)
        output = F.mse_loss(student.predict(x, t, words), wanted)  # eq. 6
        features = feature_loss(ours, theirs, names)
        logged = {"output": output.item(), "features": features.item()}
        return MicroBatch(output + options.weight * features, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        return learner.learn(generator, loop.trapezoid(index, options.steps), one)

    facts = {**model.facts, **data.facts}
    with stage.trained(
        options, learner.parts, step, facts, flat=loop.FLAT, spent=data.seconds,
        frozen=model.networks,
    ):  # fmt: skip
        learner.settle()
        leave(student, options.text or options.teacher, options.run)


main = stage.main(Options, train, __name__)
