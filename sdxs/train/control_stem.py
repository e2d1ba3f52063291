"""A control for pictures twice the size: its stem, which takes control images to latents' cells.

Where a decoder shows the same latents at twice the size (`sdxs.train.upscale`), control images are
twice as large, too, and are to be halved once more. All of a control but its stem stays; the new
stem learns to give of a control image what the old one gives of the same image reduced.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from torch.nn import functional as F

from sdxs.model.controls import build_control
from sdxs.train.parts.autoencoders import Autoencoder, read_autoencoder
from sdxs.train.parts.control_images import control_images, depth_network
from sdxs.train.parts.controlled import control_input, read_control
from sdxs.train.parts.latents import LatentOptions, encode_scenes
from sdxs.train.parts.learner import Learner
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import fast, placed
from sdxs.train.run.options import option, positive, side

STEM = "controlnet_cond_embedding."


class Options(
    LatentOptions, steps=1500, batch=16, lr=1e-3, pictures=3000, seed=29
):  # fmt: skip
    begin: Path = stage.needs("the control", "control_blocks", "steer", "control")
    autoencoder: Path = stage.needs("whose decoder shows the larger pictures", "upscale")
    depth: Path | None = stage.takes("the network that sees depth, for that control", "depth")
    resolution: int = option(128, "side of the smaller pictures in pixels", type=side)
    width: int = option(8, "channels of the stem at full size", type=positive)


def with_larger_stem(control: ControlNetModel, width: int) -> ControlNetModel:
    """The same control with a stem of one more stage, whose weights are as torch's chance has them.

    width: its channels at full size.
    """
    sizes = (width, *control.config["conditioning_embedding_out_channels"])
    larger = build_control({**control.config, "conditioning_embedding_out_channels": sizes})
    kept = {k: v for k, v in control.state_dict().items() if not k.startswith(STEM)}
    larger.load_state_dict({**larger.state_dict(), **kept})
    return larger


def train(options: Options) -> None:
    """Leave a control for pictures of twice the size in `run`. Raises TrainingError."""
    made = stage.read(options.begin)
    sees_depth = depth_network(made["control"], options.depth, options.begin)
    vae = read_autoencoder(options.autoencoder)
    data = encode_scenes(options.run, vae, options.pictures, options.seed, options.resolution)
    images = control_images(
        options.run,
        made["control"],
        data.latents,
        Autoencoder(vae),
        options.seed,
        sees_depth,
        data.scenes,
    )
    before = placed(read_control(options.begin)).requires_grad_(False)
    torch.manual_seed(options.seed)
    after = placed(with_larger_stem(before, options.width))
    stem, known = after.controlnet_cond_embedding, before.controlnet_cond_embedding
    learner = Learner("stem", stem, options.lr, 0.998)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        seen = control_input(images.images[data.rows(options.batch, generator)])
        with fast():
            with torch.no_grad():
                wanted = known(F.avg_pool2d(seen, 2)).float()
            ours = stem(seen).float()
        missed = F.mse_loss(ours, wanted) / wanted.var()
        learner.update(missed, loop.trapezoid(index, options.steps, warmup=50))
        return {"missed": missed.item()}

    facts: dict[str, Any] = {
        "begins_with": loop.fingerprint(before),
        "autoencoder": loop.fingerprint(vae),
        **{name: made[name] for name in ("control", "steers", "drawn_by") if name in made},
    }
    spent = data.seconds + images.seconds
    with stage.trained(options, learner.parts, step, facts, spent=spent) as found:
        learner.settle()
        seen = control_input(images.images[: options.batch])
        with torch.no_grad():
            wanted = known(F.avg_pool2d(seen, 2))
            found["missed"] = round((F.mse_loss(stem(seen), wanted) / wanted.var()).item(), 4)
        after.half().save_pretrained(options.run / "control")


main = stage.main(Options, train, __name__)
