"""Stage c: a full-size ControlNet (arXiv 2302.05543) for the multi-step model, which stays frozen.

It learns from renders: their latents, captions of them, and control images extracted from what
the autoencoder makes of them. Half of the captions are left empty, as in the paper of ControlNets
(section 3.3), so that what the control shows is seen and not read.
"""

from pathlib import Path

import torch

from sdxs.conditions import CONTROLS
from sdxs.train.parts.control_images import control_images, depth_network
from sdxs.train.parts.controlled import Controlled, control_input, full_control, read_full
from sdxs.train.parts.denoising import denoising_loss
from sdxs.train.parts.latents import LatentOptions
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import ScaledOptions, option
from sdxs.train.run.stages import MULTI_STEP

UNSAID = 0.5  # share of captions left empty


class Options(LatentOptions, ScaledOptions, steps=3000, batch=32, lr=3e-4, pictures=20000, seed=15):
    control: str = option(help="what it is to follow", choices=CONTROLS)
    teacher: Path = stage.needs("the multi-step model", *MULTI_STEP, default="teacher")
    depth: Path | None = stage.takes("the network that sees depth, for that control", "depth")
    begin: Path | None = stage.takes("another control to begin with", "control")


def train(options: Options) -> None:
    """Leave a ControlNet for the model of `teacher` in `run`. Raises TrainingError."""
    control, seed = options.control, options.seed
    model, sees_depth = Model.load(options.teacher), depth_network(control, options.depth)
    vae, data = options.decoder(), options.data(model.resolution)
    drawn = control_images(options.run, control, data.latents, vae, seed, sees_depth)
    torch.manual_seed(seed)
    begun = read_full(options.begin, model.unet) if options.begin else full_control(model.unet)
    network = placed(begun.train())
    learner = Learner("control", network, options.lr, 0.998, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        rows = data.rows(options.at_once, generator)
        x0, texts = data.at(rows, generator, empty=UNSAID)[:2]
        controlled = Controlled(model.unet, network, control_input(drawn.images[rows]))
        loss = denoising_loss(model.with_unet(controlled), x0, model.embed(texts), generator)
        return MicroBatch(loss, {"loss": loss.item()})

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        logged = learner.learn(generator, loop.trapezoid(index, options.steps, warmup=100), one)
        return {**logged, "norm": learner.norm}

    facts = {
        "begins_with": loop.fingerprint(network),
        "steers": model.facts["teacher"],
        "text": model.facts["text"],
        "autoencoder": loop.fingerprint(vae.network),
        "drawn_by": drawn.by,
    }
    spent = data.seconds + drawn.seconds
    with stage.trained(
        options, learner.parts, step, facts, flat=loop.FLAT, spent=spent, frozen=model.networks
    ):
        learner.settle()
        network.save_pretrained(options.run / "control")


main = stage.main(Options, train, __name__)
