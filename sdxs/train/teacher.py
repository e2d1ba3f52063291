"""Stage T: the multi-step model, trained by v-prediction; the text encoder stays as it is.

With Stable Diffusion's four stages, the U-Net goes on to `sdxs.train.blocks`, which makes it tiny.
With the tiny one's own layers (`--layout sdxs`) it serves at once as teacher, as offline model and
as the one-step model's start, as Vega does for SDXS-1024 (paper, section 4.1). The loss is the mean
squared error of v at timesteps drawn evenly. The middle ones matter: drawn mostly above 0.7 T,
where what stands where is decided, they leave the model unable to finish a shape.

The text encoder is frozen, as Stable Diffusion's is. Trained along at this learning rate it
forgets within some thousand steps all that the loss does not ask for yet: colours and shapes.

What the lower half of the U-Net makes of a noisy picture must also serve to segment it, by a small
head that is thrown away: which thing is seen where, in which colour. A diffusion model learns
sooner from features that mean something (REPA, arXiv 2410.06940); the renderer says what they mean.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.schedule import add_noise, velocity
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.features import Tap
from sdxs.train.parts.grown import grow
from sdxs.train.parts.latents import EMPTY, LABELS, encode_scenes
from sdxs.train.parts.losses import segmentation
from sdxs.train.parts.models import LAYOUTS, PRESETS, build_scheduler, tokenize
from sdxs.train.parts.solver import reader
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed, predict

SEGMENTED = {"sdxs": "up_blocks.0", "sd": "up_blocks.1"}  # layout -> what the head reads


class Head(nn.Module):
    """A segmentation from features (B, F, h, w): logits (B, sum(LABELS), h, w)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(16, features), nn.Conv2d(features, features, 1), nn.SiLU(),
            nn.Conv2d(features, sum(LABELS), 1),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits


def train(
    run: Path,
    *,
    autoencoder: Path,
    text: Path,
    begin: Path | None = None,
    preset: str,
    layout: str,
    steps: int,
    segment: float,
    batch: int,
    pictures: int,
    lr: float,
    seed: int,
    resolution: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a multi-step model in `run`.

    segment: weight of the segmentation beside the loss of v. Raises TrainingError.
    """
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    data = encode_scenes(run, vae, pictures, seed, resolution)
    torch.manual_seed(seed)
    encoder, tokenizer = reader(text)
    unet = placed(LAYOUTS[layout](PRESETS[preset], resolution))
    if begin is not None:
        begin_with(unet, begin)
    begins_with = loop.fingerprint(unet)
    tap = Tap(unet, [SEGMENTED[layout]])
    head = placed(Head(PRESETS[preset].channels[-1]))
    learner = Averaged(unet, lr, decay=0.999, also=head)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x0, texts, seen = data.batch(batch, generator, empty=EMPTY)
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(len(alphas), (batch,), generator=generator)
        x0, noise, t, seen = (drawn.to(DEVICE) for drawn in (x0, noise, t, seen))
        with torch.no_grad():
            context = encoder(tokenize(tokenizer, texts).to(DEVICE)).last_hidden_state  # (B, L, D)
        v = predict(unet, add_noise(x0, noise, t, alphas), t, context)
        loss = F.mse_loss(v, velocity(x0, noise, t, alphas))
        with fast():
            logits = head(tap.features[SEGMENTED[layout]])
        segmented = segmentation(logits.float(), seen)
        norm = learner.update(loss + segment * segmented, loop.trapezoid(index, steps))
        return {"loss": loss.item(), "segmentation": segmented.item(), "norm": norm}

    settings = {
        "begins_with": begins_with,
        "text": loop.fingerprint(encoder),
        "encoder": loop.fingerprint(vae.encoder),
        "preset": preset,
        "layout": layout,
        "segment": segment,
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
        "resolution": resolution,
    }
    seconds = loop.run(
        run, {"unet": unet, "head": head, **learner.parts}, step, steps=steps, seed=seed,
        settings=settings, title="teacher", save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    unet.save_pretrained(run / "unet")
    encoder.save_pretrained(run / "text_encoder")
    tokenizer.save_pretrained(run / "tokenizer")
    build_scheduler().save_pretrained(run / "scheduler")
    stage.finish(run, "teacher", data.seconds + seconds, **settings, steps=steps, seed=seed)


def begin_with(unet: UNet2DConditionModel, run: Path) -> None:
    """Put what an earlier run has learnt in a U-Net: its weights, or a tiny one's, grown.

    Raises TrainingError if the layers do not answer to each other.
    """
    earlier = UNet2DConditionModel.from_pretrained(run / "unet")
    try:
        if len(earlier.down_blocks) < len(unet.down_blocks):
            grow(earlier, unet)
        else:
            unet.load_state_dict(earlier.state_dict())
    except (KeyError, RuntimeError):
        raise loop.TrainingError(
            f"the U-Net of {run} has other layers: give its own --preset and --layout"
        ) from None


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "teacher", __doc__,
        steps=16000, batch=64, lr=1e-3, pictures=40000, resolution=128, seed=2,
    )  # fmt: skip
    add = parser.add_argument
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are painted")  # fmt: skip
    stage.needs(parser, "--text", "text", default="text", words="the text encoder")
    stage.needs(parser, "--begin", *stage.MODELS,
                words="begin with the U-Net of an earlier model, not a random one; "
                      "a tiny one grows where --layout is sd")  # fmt: skip
    add("--preset", choices=PRESETS, default="s", help="how wide")
    add("--layout", choices=LAYOUTS, default="sd",
        help="Stable Diffusion's layers, to be removed later, or the tiny U-Net's own")  # fmt: skip
    add("--segment", type=float, default=0.2,
        help="weight of the segmentation beside the loss of v")  # fmt: skip
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
