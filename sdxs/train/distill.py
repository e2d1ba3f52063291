"""Stage e: segmented score distillation of the one-step U-Net (`sdxs.train.parts.segmented`).

One step: some updates of the online model, then one of the one-step model, half of whose batch are
noises of pairs, for feature matching, and half are fresh ones.
"""

from pathlib import Path

from torch import Tensor

from sdxs.train.parts.distillation import Distillation, DistillationOptions, drawn, matching
from sdxs.train.parts.features import encoder_of, load_encoder
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.segmented import HOLD, Scores
from sdxs.train.parts.solver import Model, read_unet
from sdxs.train.run import loop, stage
from sdxs.train.run.options import option
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP


class Options(DistillationOptions, name="distill", steps=5000, lr=1e-4, seed=6):
    teacher: Path = stage.needs("offline model, and what the online one begins with", *MULTI_STEP)
    pairs: Path = stage.needs("its noises and pictures", "pairs")
    begin: Path = stage.needs("the one-step U-Net to begin with", *ONE_STEP)
    encoder: Path | None = stage.takes(
        "features of a CNN or ViT instead of the multi-step U-Net's own", "encoders"
    )
    guidance: float | None = option(
        None, "of the offline model (default: that of the pairs)", type=float
    )
    fixed: bool = option(False, "hold alpha and kappa, for the ablation")


def watch(x0: Tensor) -> dict[str, float]:
    """Whether the pictures keep to latents of mean 0 and deviation 1."""
    return {
        "mean": x0.mean((0, 2, 3)).abs().max().item(),
        "deviation": x0.std((0, 2, 3)).mean().item(),
    }


def train(options: Options) -> None:
    """Leave a one-step model in `run`. Raises TrainingError."""
    options.check()
    offline, data, encoder = Model.load(options.teacher), Pairs(options.pairs), options.encoder
    guidance = data.guidance if options.guidance is None else options.guidance
    student, online = read_unet(options.begin), read_unet(options.teacher)
    facts = {
        "begins_with": loop.fingerprint(student),
        **offline.facts,
        **data.facts,
        "guidance": guidance,
        "encoder": encoder and loop.fingerprint(load_encoder(encoder)),
    }
    batch = options.batch
    learner = Learner("student", student, options.lr, 0.999, optimizer="student_optimizer")
    distillation = Distillation(
        options,
        Scores(offline, online, guidance, options.online_lr),
        learner,
        [matching(encoder_of(encoder, offline.unet))],
        draw=drawn(student, offline, data, batch // 2, batch - batch // 2),
        draw_online=drawn(student, offline, data, 0, batch),
        counted_from=options.online_first,
        fixed=options.fixed,
        watch=watch,
    )
    with stage.trained(options, distillation.parts, distillation.step, facts, flat=HOLD):
        learner.settle()
        student.save_pretrained(options.run / "unet")
        stage.hand_on(options.teacher, options.run)


main = stage.main(Options, train)

if __name__ == "__main__":
    stage.command(main)
