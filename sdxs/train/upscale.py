"""A decoder that shows the same latents at twice the size: five stages where the encoder has four.

It begins as the smaller one with fewer channels (`sdxs.train.parts.channel_pruning`) and no block
at full size, where two convolutions learn to enlarge. U-Net, styles and controls stay as they are.
Encoded renders are to become the same scenes rendered at twice the size; painted latents, of which
nobody knows the larger picture, are held to what the present decoder shows by the paper's eq. 5,
the L1 of reduced pictures. What is finer on both comes from a GAN that sees picture and latents
together (section 3.1).

Noise on the latents of renders teaches it to take one that is a little off for the nearest render
there is. With `--artists`, encoded pictures by many artists come to them, which styles need.
"""

import itertools
import random
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.storybook.judges.distribution import sharpness
from sdxs.storybook.judges.painters import by_renderer
from sdxs.storybook.world.captions import described
from sdxs.storybook.world.scenes import HELD_OUT_SEED, Scene, sample_scenes
from sdxs.train.parts.autoencoders import (
    Autoencoder,
    encoded,
    fidelity,
    read_autoencoder,
    with_decoder,
)
from sdxs.train.parts.cache import cached
from sdxs.train.parts.channel_pruning import prune
from sdxs.train.parts.latents import CHUNK
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import coarse_l1, hinge, proportion, reconstruction_loss, unmasked
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.parts.renders import draw_pictures, to_bytes, to_unit
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import TrainingOptions, option, positive
from sdxs.train.run.stages import ONE_STEP

CROP = 8  # latent cells along a side
DECAY = 0.5  # share of the steps over which the learning rate falls to zero
OTHERS = 1 / 3  # share of what is not painted that is other artists', with `--artists`
NEAR = 0.7  # share of the windows that hold a thing
QUIET = 0.25  # share of the steps before the GAN begins
PAINTED = 1 / 3  # share of a batch that is painted, from then on


@torch.no_grad()
def build(smaller: AutoencoderTiny, width: int, latents: Tensor) -> AutoencoderTiny:
    """The smaller one's encoder, and a decoder that doubles once more.

    It begins as the smaller one's, of which the `width` channels stay that do most for latents
    (B, 4, h, w), and enlarges by repeating pixels.
    """
    blocks = (*smaller.config["num_decoder_blocks"], 0)
    larger = with_decoder(smaller, (width,) * len(blocks), blocks)
    prune(smaller.decoder, larger.decoder, latents)
    enlarging = larger.decoder.layers[-2]
    nn.init.zeros_(enlarging.weight)
    nn.init.eye_(enlarging.weight[:, :, 1, 1])
    return larger


class Discriminator(nn.Module):
    """Logits of whether pictures (B, 3, 16h, 16w) are renders of latents z (B, 4, h, w).

    At an eighth of the picture's size, of the picture alone; at the latents' size, of both.
    """

    def __init__(self, width: int = 32, latent: int = 4) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 3 * width]
        self.small = nn.Sequential(
            *(
                layer
                for before, after in itertools.pairwise(sizes)
                for layer in (nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))
            )
        )
        wide = sizes[-1]
        self.fine = nn.Conv2d(wide, 1, 3, 1, 1)
        self.smaller = nn.Sequential(nn.Conv2d(wide, wide, 4, 2, 1), nn.LeakyReLU(0.2))
        self.fits = nn.Sequential(
            nn.Conv2d(wide + latent, wide, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(wide, 1, 3, 1, 1),
        )

    def forward(self, picture: Tensor, z: Tensor) -> list[Tensor]:
        h = self.small(picture)
        return [self.fine(h), self.fits(torch.cat((self.smaller(h), z), 1))]


def rendered(
    folder: Path, vae: AutoencoderTiny, scenes: list[Scene], resolution: int, seed: int,
    *, artists: bool = False,
) -> tuple[dict[str, Tensor], float]:  # fmt: skip
    """Latents of renders and the same at twice the size, uint8, made now or read; the seconds.

    artists: redrawn by some that nobody named.
    """
    name = "redrawn" if artists else "rendered"

    def drawn(side: int) -> Tensor:
        return draw_pictures(
            scenes, side, f"{name} {side}", random.Random(seed) if artists else None
        )

    def make() -> dict[str, Tensor]:
        latents = encoded(Autoencoder(vae), drawn(resolution)).half()
        return {"latents": latents, "pictures": drawn(2 * resolution)}

    about = {"count": len(scenes), "seed": seed, "resolution": resolution}
    return cached(folder, name, {**about, "encoder": loop.fingerprint(vae.encoder)}, make)


def painted(
    folder: Path, vae: AutoencoderTiny, model: Model, count: int, seed: int
) -> tuple[dict[str, Tensor], float]:
    """Latents that a one-step model paints, and what the present decoder shows of them, uint8."""
    side = model.unet.config["sample_size"]

    @torch.no_grad()
    def make() -> dict[str, Tensor]:
        _, captions = described(count, seed)
        generator = torch.Generator().manual_seed(seed)
        latents, pictures = [], []
        for i in tqdm(range(0, count, CHUNK), desc="paintings", dynamic_ncols=True, mininterval=2):
            texts = [caption.text for caption in captions[i : i + CHUNK]]
            noise = torch.randn(len(texts), LATENT_CHANNELS, side, side, generator=generator)
            z = model.one_step(noise.to(DEVICE), model.embed(texts))
            with fast():
                shown = vae.decoder(z)
            latents.append(z.cpu().contiguous().half())
            pictures.append(to_bytes(shown.float().cpu().contiguous()))
        return {"latents": torch.cat(latents), "pictures": torch.cat(pictures)}

    by = {"unet": loop.fingerprint(model.unet), "vae": loop.fingerprint(vae)}
    return cached(folder, "painted", {"count": count, "seed": seed, **by}, make)


def windows(
    data: dict[str, Tensor],
    count: int,
    generator: torch.Generator,
    scenes: list[Scene] | None = None,
) -> tuple[Tensor, Tensor]:
    """Random windows of latents (count, 4, CROP, CROP) and of pictures, in [-1, 1].

    scenes: of them; most windows then hold the middle of a thing.
    """
    latents, pictures = data["latents"], data["pictures"]
    rows = torch.randint(len(latents), (count,), generator=generator).tolist()
    numbers = torch.rand(count, 4, generator=generator).tolist()
    cells, scale = latents.shape[-1], pictures.shape[-1] // latents.shape[-1]
    z, x = [], []
    for row, (a, b, c, d) in zip(rows, numbers, strict=True):
        left, top = (round(v * (cells - CROP)) for v in (a, b))
        if scenes is not None and c < NEAR:
            thing = scenes[row].things[int(d * len(scenes[row].things))]
            left = round((thing.x + 0.3 * (a - 0.5)) * cells - CROP / 2)
            top = round((thing.y - thing.height / 2 + 0.3 * (b - 0.5)) * cells - CROP / 2)
        left, top = (min(max(v, 0), cells - CROP) for v in (left, top))
        z.append(latents[row, :, top : top + CROP, left : left + CROP])
        down, across = (slice(scale * v, scale * (v + CROP)) for v in (top, left))
        x.append(pictures[row, :, down, across])
    return torch.stack(z).float().to(DEVICE), to_unit(torch.stack(x)).to(DEVICE)


@torch.no_grad()
def compared(
    larger: AutoencoderTiny, smaller: AutoencoderTiny, z: Tensor, resolution: int
) -> dict[str, float]:
    """Of painted latents: the L1 of the reduced picture from the smaller one's, and sharpness."""
    target = by_renderer(sample_scenes(len(z), HELD_OUT_SEED), 2 * resolution)
    shown, before = larger.decoder(z).clamp(-1, 1), smaller.decoder(z).clamp(-1, 1)
    apart = F.l1_loss(F.avg_pool2d(shown, 4), F.avg_pool2d(before, 2))
    return {
        "l1_painted": round(apart.item(), 4),
        "sharpness_painted": round(sharpness(shown), 5),
        "sharpness_renders": round(sharpness(target([], list(range(len(z))))), 5),
    }


class Options(TrainingOptions, steps=4000, batch=18, lr=1e-3, seed=28):
    autoencoder: Path = stage.needs("whose latents, and whose decoder", "autoencoder", "decoder")
    model: Path = stage.needs("a one-step model, for painted latents", *ONE_STEP, default="average")
    pictures: int = option(4000, "renders to learn from")
    width: int = option(40, "channels of the decoder; 40 are 5.2 GFLOP at 256 pixels",
                        type=positive)  # fmt: skip
    gan: float = option(0.4, "gradient of the GAN relative to the rest; 0 is off")
    noise: float = option(0.12, "the most noise on latents of renders, in their own units")
    artists: bool = option(
        False, "learn other artists' pictures, too, a third of the renders'", recorded="given"
    )
    paintings: int = option(2048, "painted latents", type=positive)
    held_out: int = option(96, "renders to measure it on", type=positive, recorded="never")


def train(options: Options) -> None:
    """Leave an autoencoder in `run` whose decoder shows latents at twice the encoder's size.

    The decoder of `autoencoder` says what painted latents show. Raises TrainingError.
    """
    steps, batch, gan, seed = options.steps, options.batch, options.gan, options.seed
    smaller, painter = placed(read_autoencoder(options.autoencoder)), Model.load(options.model)
    if options.width > (most := min(smaller.config["decoder_block_out_channels"])):
        raise loop.TrainingError(f"--width is at most that of the smaller decoder, {most}")
    resolution = painter.resolution
    scenes = sample_scenes(options.pictures, seed, unseen="any")
    plain, spent = rendered(options.run, smaller, scenes, resolution, seed)
    known = [(plain, scenes, options.noise)]
    if options.artists:
        scenes = sample_scenes(max(1, options.pictures // 3), seed + 1, unseen="any")
        redrawn, took = rendered(options.run, smaller, scenes, resolution, seed, artists=True)
        known.append((redrawn, scenes, 0.0))
        spent += took
    shown, more = painted(options.run, smaller, painter, options.paintings, seed)
    torch.manual_seed(seed)
    some = placed(plain["latents"][:CHUNK].float())
    larger, judge = placed(build(smaller, options.width, some)), placed(Discriminator())
    larger.encoder.requires_grad_(False)
    decoder = larger.decoder.train()
    last = decoder.layers[-1].weight
    learner = Learner("decoder", decoder, options.lr, 0.998)
    other = Learner("judge", judge, 3e-4, optimizer="judge_optimizer", clip=None,
                    betas=(0.5, 0.99))  # fmt: skip

    def seen(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Windows of encoded pictures, and those at twice the size."""
        others = round(OTHERS * count) if options.artists else 0
        parts = []
        for (data, of, noise), some in zip(known, (count - others, others), strict=False):
            if not some:
                continue
            z, x = windows(data, some, generator, of)
            strength = noise * torch.rand(len(z), 1, 1, 1, generator=generator)
            z = z + (strength * torch.randn(z.shape, generator=generator)).to(DEVICE)
            parts.append((z, x))
        z, x = (torch.cat(each) for each in zip(*parts, strict=True))
        return z, x

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loud = gan > 0 and index >= QUIET * steps
        some = round(PAINTED * batch) if loud else 0
        z, target = seen(batch - some, generator)
        every = z
        if loud:
            painting, before = windows(shown, some, generator)
            every = torch.cat((z, painting))
        with fast():
            ours = decoder(every.to(memory_format=torch.channels_last)).float()
        loss = reconstruction_loss(ours[: len(z)], target)
        logged = {"loss": loss.item()}
        if loud:
            logged["judged"] = follow(z, target, every, ours.detach())
            coarse = coarse_l1(F.avg_pool2d(ours[len(z) :], 2), before, 2)
            judge.requires_grad_(False)
            with fast():
                fooled = unmasked([logits.float() for logits in judge(ours, every)])
            weight = gan * proportion(loss, fooled, last)
            judge.requires_grad_(True)
            loss = loss + coarse + weight * fooled
            logged |= {"coarse": coarse.item(), "fooled": fooled.item(), "weight": weight}
        learner.update(loss, loop.trapezoid(index, steps, decay=DECAY))
        return logged

    def follow(z: Tensor, target: Tensor, every: Tensor, ours: Tensor) -> float:
        """One update of the discriminator; its loss."""
        with fast():
            real = [logits.float() for logits in judge(target, z)]
            fake = [logits.float() for logits in judge(ours, every)]
        judged = hinge(real, fake)
        other.update(judged, 1.0)
        return judged.item()

    facts = {
        "autoencoder": loop.fingerprint(smaller),
        "model": loop.fingerprint(painter.unet),
    }
    parts = {**learner.parts, **other.parts}
    flat = 0.0 if gan else 1 - DECAY
    with stage.trained(options, parts, step, facts, flat=flat, spent=spent + more) as measured:
        learner.settle()
        larger = larger.cpu().eval()
        z = shown["latents"][: options.held_out].float()
        measured |= fidelity(larger, resolution, options.artists, options.held_out, scale=2)
        measured |= compared(larger, smaller.cpu(), z, resolution)
        larger.save_pretrained(options.run / "vae")


main = stage.main(Options, train, __name__)
