"""Stage c: block removal for a control (paper, section 3.1, "ControlNet"; eq. 6 to 8).

The slim control, with the tiny U-Net, learns to give what the full one gives with the multi-step
U-Net: the output, and the features of the up blocks alone, since only those does a control change.
Both U-Nets stay frozen.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from sdxs.conditions import CONTROLS
from sdxs.train.parts.block_removal import FEATURES, feature_loss
from sdxs.train.parts.control_images import control_images, depth_network
from sdxs.train.parts.controlled import (
    Controlled,
    control_input,
    kind_of,
    read_full,
    slim_control,
)
from sdxs.train.parts.denoising import diffused
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, LatentOptions
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import ScaledOptions, option
from sdxs.train.run.stages import MODELS, MULTI_STEP

UP = {ours: theirs for ours, theirs in FEATURES.items() if ours.startswith("up_blocks")}


class Options(LatentOptions, ScaledOptions, steps=1000, batch=32, lr=3e-4, pictures=10000, seed=16):
    control: Path = stage.needs("the full-size control", "control")
    condition: str | None = option(
        None, "what it follows, where somebody else made it", choices=CONTROLS, recorded="never"
    )
    teacher: Path = stage.needs(
        "the multi-step model that it was made for", *MULTI_STEP, default="teacher"
    )
    tiny: Path = stage.needs(
        "the model with the tiny U-Net, of many steps where there is one; the same where that is "
        "tiny itself",
        *MODELS,
    )
    depth: Path | None = stage.takes("the network that sees depth, for that control", "depth")
    weight: float = option(1.0, "lambda_F of eq. 8")


def train(options: Options) -> None:
    """Leave a slim control in `run`. Raises TrainingError."""
    large = Model.load(options.teacher)
    small = large.fit(options.tiny)
    small.unet.requires_grad_(False)
    if small.schedule.prediction != large.schedule.prediction:
        raise loop.TrainingError(
            f"{options.tiny} predicts {small.schedule.prediction}, {options.teacher} "
            f"{large.schedule.prediction}: their outputs do not compare"
        )
    kind = kind_of(options.control, large.unet, options.condition)
    sees_depth = depth_network(kind, options.depth, options.control)
    full = placed(read_full(options.control, large.unet)).eval().requires_grad_(False)
    vae, data = options.decoder(), options.data(large.resolution)
    drawn = control_images(options.run, kind, data.latents, vae, options.seed, sees_depth)
    torch.manual_seed(options.seed)
    slim = placed(slim_control(small.unet, full).train())
    same = large.unet.config["block_out_channels"] == small.unet.config["block_out_channels"]
    names = {ours: ours if same else theirs for ours, theirs in UP.items()}
    ours, theirs = Tap(small.unet, list(names)), Tap(large.unet, list(names.values()))
    learner = Learner("control", slim, options.lr, 0.998, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        rows = data.rows(options.at_once, generator)
        x0, texts = data.at(rows, generator, empty=EMPTY)[:2]
        x, _, t = diffused(large.schedule, x0, generator)
        words, images = large.embed(texts), control_input(drawn.images[rows])
        with torch.no_grad():
            wanted = large.with_unet(Controlled(large.unet, full, images)).predict(x, t, words)
        steered = small.with_unet(Controlled(small.unet, slim, images))
        output = F.mse_loss(steered.predict(x, t, words), wanted)
        inner = feature_loss(ours, theirs, names)
        logged = {"output": output.item(), "features": inner.item()}
        return MicroBatch(output + options.weight * inner, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        return learner.learn(generator, loop.trapezoid(index, options.steps, warmup=50), one)

    facts = {
        "full": loop.fingerprint(full),
        **large.facts,
        "steers": loop.fingerprint(small.unet),
        "autoencoder": loop.fingerprint(vae.network),
        "control": kind,
        "drawn_by": drawn.by,
    }
    spent = data.seconds + drawn.seconds
    with stage.trained(
        options, learner.parts, step, facts, flat=loop.FLAT, spent=spent, frozen=large.networks
    ):
        learner.settle()
        slim.save_pretrained(options.run / "control")


main = stage.main(Options, train, __name__)
