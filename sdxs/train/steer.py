"""Stage g: a control for the one-step model (paper, section 3.2, "ControlNet").

The one-step U-Net stays as it is, its control learns: by feature matching alone at first, then by
segmented score distillation, where the full control steers both score models. Control images are
extracted from the pictures of the pairs. Since a pair's noise alone says what its picture shows,
a part rho of the noise is drawn anew, or the control would never be needed.
"""

import functools
from pathlib import Path

import torch
from torch import Tensor

from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.control_images import control_images, depth_network
from sdxs.train.parts.controlled import Controlled, control_input, kind_of, read_control
from sdxs.train.parts.distillation import Batch, Distillation, DistillationOptions, matching
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.segmented import Scores
from sdxs.train.parts.solver import Model, read_unet
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed
from sdxs.train.run.options import option
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP


class Options(DistillationOptions, name="steer", steps=1200, lr=3e-4, seed=17):
    teacher: Path = stage.needs("the offline model", *MULTI_STEP)
    full: Path = stage.needs("its control", "control", "control_blocks")
    begin: Path = stage.needs("the slim control to begin with", "control_blocks", "steer")
    student: Path = stage.needs("the one-step model", *ONE_STEP, default="texture")
    pairs: Path = stage.needs("noises and pictures", "pairs")
    autoencoder: Path = stage.needs("what makes pictures of latents", "autoencoder")
    depth: Path | None = stage.takes("the network that sees depth, for that control", "depth")
    warmup: int = option(600, "steps of feature matching alone, at first")
    rho: float = option(1.0, "share of the noise that is drawn anew")


def partly_fresh(noise: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """Noise (B, C, h, w) of which a share rho of the places is drawn anew, all channels at once."""
    places = torch.rand(len(noise), 1, *noise.shape[2:], generator=generator) < rho
    return torch.where(places, torch.randn(noise.shape, generator=generator), noise)


def train(options: Options) -> None:
    """Leave a control for the one-step model of `student` in `run`. Raises TrainingError."""
    offline, data = Model.load(options.teacher), Pairs(options.pairs)
    kind = kind_of(options.full, offline.unet)
    if (other := stage.read(options.begin)["control"]) != kind:
        raise loop.TrainingError(f"{options.begin} follows {other}, {options.full} follows {kind}")
    sees_depth = depth_network(kind, options.depth, options.full, options.begin)
    options.check(options.warmup)
    vae = read_autoencoder(options.autoencoder)
    images = control_images(options.run, kind, data.latents, vae, options.seed, sees_depth)
    full, network = (placed(read_control(folder)) for folder in (options.full, options.begin))
    full.eval().requires_grad_(False)
    unet, online = read_unet(options.student), read_unet(options.teacher)
    unet.eval().requires_grad_(False)
    facts = {
        "begins_with": loop.fingerprint(network),
        "student": loop.fingerprint(unet),
        "full": loop.fingerprint(full),
        **offline.facts,
        "autoencoder": loop.fingerprint(vae),
        **data.facts,
        "control": kind,
        "drawn_by": images.by,
    }

    def draw(generator: torch.Generator) -> Batch:
        rows = data.rows(options.batch, generator)
        noise, target, texts = data.at(rows)
        noise = partly_fresh(noise, options.rho, generator).to(DEVICE)
        seen = control_input(images.images[rows])
        return Batch(
            Controlled(unet, network, seen), noise, offline.embed(texts), target.to(DEVICE),
            bind=functools.partial(Controlled, control=full, images=seen),
        )  # fmt: skip

    learner = Learner("control", network, options.lr, 0.998)
    distillation = Distillation(
        options,
        Scores(offline, online, data.guidance, options.online_lr),
        learner,
        [matching(encoder_of(None, offline.unet))],
        draw=draw,
        draw_online=draw,
        warmup=options.warmup,
    )
    with stage.trained(options, distillation.parts, distillation.step, facts, spent=images.seconds):
        learner.settle()
        network.half().save_pretrained(options.run / "control")  # as it ships


main = stage.main(Options, train)

if __name__ == "__main__":
    stage.command(main)
