"""Stage d: feature-matching warm-up (paper, section 3.2, eq. 10). From many steps to one.

The one-step model starts as the teacher, takes pure noise at the last timestep and learns to
give the picture that the teacher reaches in many steps from the same noise.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional as F

from sdxs.train.pairs import Pairs
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.losses import feature_matching
from sdxs.train.parts.models import build_scheduler
from sdxs.train.parts.solver import Model, one_step
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed


def train(
    run: Path,
    *,
    teacher: Path,
    pairs: Path,
    begin: Path | None = None,
    encoder: Path | None = None,
    steps: int,
    batch: int,
    lr: float,
    matching: float,
    mse: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a one-step model in `run`.

    begin: a one-step or straightened U-Net to begin with, instead of the teacher's. encoder: whose
    features are matched, instead of the teacher's own. matching, mse: weights of eq. 10 and of the
    squared error. Raises TrainingError.
    """
    model, data = Model.load(teacher), Pairs(pairs)
    student = placed(UNet2DConditionModel.from_pretrained((begin or teacher) / "unet"))
    begins_with = loop.fingerprint(student)
    encode = encoder_of(encoder, model.unet)
    learner = Averaged(student, lr, decay=0.998)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        noise, target, texts = data.batch(batch, generator)
        noise, target = noise.to(DEVICE), target.to(DEVICE)
        context = model.embed(texts)  # (B, L, D)
        ours = one_step(student, noise, context, alphas)
        squares = F.mse_loss(ours, target)
        losses = {"mse": squares}
        loss = mse * squares
        if matching:
            with fast():
                losses["matching"] = feature_matching(encode, ours, target, context)
            loss = loss + matching * losses["matching"]
        learner.update(loss, loop.trapezoid(index, steps, warmup=50))
        mean = ours.detach().mean((0, 2, 3)).abs().max()
        return {name: value.item() for name, value in (losses | {"mean": mean}).items()}

    settings = {
        "begins_with": begins_with,
        "teacher": loop.fingerprint(model.unet),
        "text": loop.fingerprint(model.text),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "batch": batch,
        "lr": lr,
        "matching": matching,
        "mse": mse,
        "encoder": None if encoder is None else stage.read(encoder)["kind"],
        "encoder_weights": None if encoder is None else loop.fingerprint(load_encoder(encoder)),
    }
    seconds = loop.run(
        run, {"student": student, **learner.parts}, step, steps=steps, seed=seed,
        settings=settings, title="warm-up", save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher, run)
    stage.finish(run, "warmup", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("warmup", __doc__, steps=8000, batch=32, lr=3e-4, seed=4)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks",
                words="the multi-step model")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", default="pairs", words="its noises and pictures")
    stage.needs(parser, "--begin", *stage.ONE_STEP, "straighten",
                words="a one-step or straightened U-Net to begin with instead")  # fmt: skip
    stage.needs(parser, "--encoder", "encoders",
                words="features of a CNN or ViT instead of the multi-step U-Net's own")  # fmt: skip
    add("--matching", type=float, default=1.0, help="weight of eq. 10; 0 leaves the squared error")
    add("--mse", type=float, default=0.3, help="weight of the squared error beside it")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
