"""Stage c: a full-size ControlNet (arXiv 2302.05543) for the multi-step model, which stays frozen.

It learns from renders: their latents, captions of them, and control pictures extracted from what
the autoencoder makes of them. Half of the captions are left empty, as in the paper of ControlNets
(section 3.3), so that what the control shows is seen and not read.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from sdxs.conditions import CONTROLS
from sdxs.model.schedule import add_noise, velocity
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.models import FACTOR, build_scheduler
from sdxs.train.parts.solver import Model
from sdxs.train.parts.steered import Steered, full_control, read_control, shown
from sdxs.train.parts.traced import control_pictures, sight
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed, predict

UNSAID = 0.5  # share of captions left empty


def train(
    run: Path,
    *,
    teacher: Path,
    autoencoder: Path,
    control: str,
    depth: Path | None = None,
    begin: Path | None = None,
    steps: int,
    batch: int,
    pictures: int,
    lr: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a ControlNet for the model of `teacher` in `run`.

    control: one of CONTROLS. depth: a network that sees it. begin: another control to begin with.
    Raises TrainingError.
    """
    model, sees_depth = Model.load(teacher), sight(control, depth)
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    resolution = FACTOR * model.unet.config["sample_size"]
    data = encode_scenes(run, vae, pictures, seed, resolution)
    drawn = control_pictures(run, control, data.latents, vae, seed, sees_depth)
    torch.manual_seed(seed)
    network = full_control(model.unet)
    if begin is not None:
        network.load_state_dict(read_control(begin).state_dict())
    begins_with = loop.fingerprint(network)
    network = placed(network.train())
    learner = Averaged(network, lr, decay=0.998)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = data.rows(batch, generator)
        x0, texts, _ = data.at(rows, generator, empty=UNSAID)
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(len(alphas), (batch,), generator=generator)
        x0, noise, t = (part.to(DEVICE) for part in (x0, noise, t))
        steered = Steered(model.unet, network, shown(drawn.pictures[rows]).to(DEVICE))
        v = predict(steered, add_noise(x0, noise, t, alphas), t, model.embed(texts))
        loss = F.mse_loss(v, velocity(x0, noise, t, alphas))
        norm = learner.update(loss, loop.trapezoid(index, steps, warmup=100))
        return {"loss": loss.item(), "norm": norm}

    settings = {
        "begins_with": begins_with,
        "steers": loop.fingerprint(model.unet),
        "text": loop.fingerprint(model.text),
        "autoencoder": loop.fingerprint(vae),
        "control": control,
        "drawn_by": drawn.by,
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
    }
    seconds = loop.run(
        run, {"control": network, **learner.parts}, step, steps=steps, seed=seed,
        settings=settings, title=f"{control} control", save_seconds=save_seconds,
        flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    network.save_pretrained(run / "control")
    seconds += data.seconds + drawn.seconds
    stage.finish(run, "control", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "control", __doc__, steps=3000, batch=32, pictures=20000, lr=3e-4, seed=15
    )
    add = parser.add_argument
    add("--control", choices=CONTROLS, required=True, help="what it is to follow")
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="teacher",
                words="the multi-step model")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are painted")  # fmt: skip
    stage.needs(parser, "--depth", "depth", words="the network that sees depth, for that control")
    stage.needs(parser, "--begin", "control", words="another control to begin with")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
