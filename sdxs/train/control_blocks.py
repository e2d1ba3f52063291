"""Stage c: block removal for a control (paper, section 3.1, "ControlNet"; eq. 6 to 8).

The slim control, with the tiny U-Net, learns to give what the full one gives with the multi-step
U-Net: the output, and the features of the up blocks alone, since only those does a control change.
Both U-Nets stay frozen.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from sdxs.model.schedule import add_noise
from sdxs.train.blocks import FEATURES, feature_loss
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, encode_scenes
from sdxs.train.parts.models import FACTOR, build_scheduler
from sdxs.train.parts.solver import Model
from sdxs.train.parts.steered import Steered, kind_of, read_control, shown, slim_control
from sdxs.train.parts.traced import control_pictures, sight
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed, predict

UP = {ours: theirs for ours, theirs in FEATURES.items() if ours.startswith("up_blocks")}


def train(
    run: Path,
    *,
    control: Path,
    teacher: Path,
    tiny: Path,
    autoencoder: Path,
    depth: Path | None = None,
    steps: int,
    batch: int,
    pictures: int,
    lr: float,
    weight: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a slim control in `run`.

    control: the full one's folder, made for `teacher`. tiny: the multi-step model with the tiny
    U-Net; the same folder where the teacher is tiny itself. weight: lambda_F of eq. 8.
    Raises TrainingError.
    """
    large, small = Model.load(teacher), Model.load(tiny)
    kind = kind_of(control, large.unet)
    sees_depth = sight(kind, depth, control)
    full = placed(read_control(control)).eval().requires_grad_(False)
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    data = encode_scenes(run, vae, pictures, seed, FACTOR * large.unet.config["sample_size"])
    drawn = control_pictures(run, kind, data.latents, vae, seed, sees_depth)
    torch.manual_seed(seed)
    slim = placed(slim_control(small.unet, full).train())
    same = large.unet.config["block_out_channels"] == small.unet.config["block_out_channels"]
    names = {ours: ours if same else theirs for ours, theirs in UP.items()}
    ours, theirs = Tap(small.unet, list(names)), Tap(large.unet, list(names.values()))
    learner = Averaged(slim, lr, decay=0.998)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = data.rows(batch, generator)
        x0, texts, _ = data.at(rows, generator, empty=EMPTY)
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(len(alphas), (batch,), generator=generator).to(DEVICE)
        x = add_noise(x0.to(DEVICE), noise.to(DEVICE), t, alphas)
        context, seen = large.embed(texts), shown(drawn.pictures[rows]).to(DEVICE)
        with torch.no_grad():
            wanted = predict(Steered(large.unet, full, seen), x, t, context)
        output = F.mse_loss(predict(Steered(small.unet, slim, seen), x, t, context), wanted)
        inner = feature_loss(ours, theirs, names)
        learner.update(output + weight * inner, loop.trapezoid(index, steps, warmup=50))
        return {"output": output.item(), "features": inner.item()}

    settings = {
        "full": loop.fingerprint(full),
        "teacher": loop.fingerprint(large.unet),
        "steers": loop.fingerprint(small.unet),
        "text": loop.fingerprint(large.text),
        "autoencoder": loop.fingerprint(vae),
        "control": kind,
        "drawn_by": drawn.by,
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
        "weight": weight,
    }
    seconds = loop.run(
        run, {"control": slim, **learner.parts}, step, steps=steps, seed=seed,
        settings=settings, title=f"{kind} control, blocks", save_seconds=save_seconds,
        flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    slim.save_pretrained(run / "control")
    seconds += data.seconds + drawn.seconds
    stage.finish(run, "control_blocks", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "control_blocks", __doc__, steps=1000, batch=32, pictures=10000, lr=3e-4, seed=16
    )
    stage.needs(parser, "--control", "control", default="control", words="the full-size control")
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="teacher",
                words="the multi-step model that it was made for")  # fmt: skip
    stage.needs(parser, "--tiny", *stage.MULTI_STEP, default="blocks",
                words="the multi-step model with the tiny U-Net")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are painted")  # fmt: skip
    stage.needs(parser, "--depth", "depth", words="the network that sees depth, for that control")
    parser.add_argument("--weight", type=float, default=1.0, help="lambda_F of eq. 8")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
