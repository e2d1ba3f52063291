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
Of other pictures (`--data`) nobody says it, and they go without.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.denoiser import Denoiser, leave
from sdxs.train.parts.denoising import denoising_loss
from sdxs.train.parts.features import Tap
from sdxs.train.parts.growth import grow
from sdxs.train.parts.latents import DATA, EMPTY, LABELS, encode_pictures, encode_scenes
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import segmentation
from sdxs.train.parts.models import LAYOUTS, PRESETS, build_scheduler
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.text_encoders import TextEncoders
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, ScaledOptions, option
from sdxs.train.run.stages import MODELS

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
        return self.layers(features)


class Options(RenderOptions, ScaledOptions, steps=16000, batch=64, lr=1e-3, pictures=40000, seed=2):
    autoencoder: Path = stage.needs("whose latents are painted", "autoencoder")
    text: Path = stage.needs("the text encoder", "text")
    data: Path | None = option(None, DATA, metavar="FOLDER")
    begin: Path | None = stage.takes(
        "begin with the U-Net of an earlier model, not a random one; a tiny one grows where "
        "--layout is sd",
        *MODELS,
    )
    preset: str = option("s", "how wide", choices=PRESETS)
    layout: str = option(
        "sd", "Stable Diffusion's layers, to be removed later, or the tiny U-Net's own",
        choices=LAYOUTS,
    )  # fmt: skip
    segment: float = option(0.2, "weight of the segmentation beside the loss of v, of renders")


def train(options: Options) -> None:
    """Leave a multi-step model in `run`. Raises TrainingError."""
    run, preset, place = options.run, PRESETS[options.preset], SEGMENTED[options.layout]
    vae = read_autoencoder(options.autoencoder)
    if options.data is None:
        data = encode_scenes(run, vae, options.pictures, options.seed, options.resolution)
    else:
        data = encode_pictures(options.data, vae, options.resolution)
    torch.manual_seed(options.seed)
    text, schedule = TextEncoders.load(options.text), Schedule.of(build_scheduler().config)
    unet = placed(LAYOUTS[options.layout](preset, options.resolution))
    if options.begin is not None:
        begin_with(unet, options.begin)
    facts = {**data.facts, "begins_with": loop.fingerprint(unet), "text": text.fingerprint}
    model = Denoiser(unet, schedule)
    tap, head = None, None
    if options.data is None:
        tap, head = Tap(unet, [place]), placed(Head(preset.channels[-1]))
    else:
        facts["segment"] = 0.0
    learner = Learner("unet", unet, options.lr, 0.999, also=head, scale=options.scale)

    def one(generator: torch.Generator) -> MicroBatch:
        x0, texts, *seen = data.batch(options.at_once, generator, empty=EMPTY)
        loss = denoising_loss(model, x0, text.embed(texts), generator)
        if tap is None or head is None:
            return MicroBatch(loss, {"loss": loss.item()})
        with fast():
            logits = head(tap.features[place])
        segmented = segmentation(logits.float(), seen[0].to(DEVICE))
        logged = {"loss": loss.item(), "segmentation": segmented.item()}
        return MicroBatch(loss + options.segment * segmented, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        logged = learner.learn(generator, loop.trapezoid(index, options.steps), one)
        return {**logged, "norm": learner.norm}

    parts = {**learner.parts, **({"head": head} if head else {})}
    with stage.trained(
        options, parts, step, facts, flat=loop.FLAT, spent=data.seconds,
        frozen=text.networks,
    ):  # fmt: skip
        learner.settle()
        leave(model, options.text, run)


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


main = stage.main(Options, train, __name__)
