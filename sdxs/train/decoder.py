"""Stage a: the tiny decoder (paper, section 3.1, eq. 5). From latents to what a larger one paints.

The loss is L1 between the two pictures made `scale` times smaller, 8 as printed, and a GAN for what
is finer than that; the storybook's recipe departs from it (`scale` 1). The discriminator sees
picture and latents together; lambda_GAN keeps the two gradients at the decoder's last layer in the
proportion `gan` (as in VQGAN, arXiv 2012.09841, eq. 7). The larger autoencoder keeps its encoder:
the latents stay the same ones. Half of those that it learns from are encoded renders, half what the
multi-step model paints, as all are in the paper; with `--artists` as many encoded pictures by
artists come to them. A decoder that has seen all those artists takes a painted latent that is a
little off for something in between, one that knows only the renders takes it for the nearest of
them (`--painted-by`): the tiny one can learn from each what it is good at.

Of a model of any world (`--painted-alone`) there are no renders: all that it learns from is
painted, and where the larger one is an AutoencoderKL, a tiny encoder learns beside it to give the
latents that a picture was painted of.
"""

import copy
import itertools
import random
import statistics
import time
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.storybook.judges.accuracy import of_renders
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.world.scenes import sample_scenes
from sdxs.train.parts.autoencoders import (
    Autoencoder,
    encoded,
    fidelity,
    read_autoencoder,
    with_decoder,
)
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import coarse_l1, hinge, proportion, unmasked
from sdxs.train.parts.models import FACTOR
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.renders import draw_pictures
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, option, positive

CROP = 8  # latent cells along a side
HELD_OUT = 32  # painted latents, where they are all that there is


def build(larger: Autoencoder, width: int | None) -> AutoencoderTiny:
    """The larger one's encoder, and a decoder with a block a stage; its own where width is None.

    Of an AutoencoderKL, TAESD's shape at that width, the encoder new, too.
    """
    network = larger.network
    if isinstance(network, AutoencoderTiny):
        if width is None:
            return copy.deepcopy(network).requires_grad_(True)
        return with_decoder(network, (width,) * 4, (2, 2, 1, 1))
    if width is None:
        raise loop.TrainingError("--whole takes an AutoencoderTiny: give --width for another one")
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4,
        latent_channels=network.config["latent_channels"],
    )  # fmt: skip


@torch.no_grad()
def shown(z: Tensor, painted: int, painter: Autoencoder, larger: Autoencoder) -> Tensor:
    """What latents (B, 4, h, w) show, (B, 3, 8h, 8w): the first `painted` by the painter's decoder,
    the others by the larger one's."""
    with fast():
        parts = [by.decode(some) for by, some in ((painter, z[:painted]), (larger, z[painted:]))
                 if len(some)]  # fmt: skip
    return torch.cat(parts).float()


class Discriminator(nn.Module):
    """Logits (B, 1, h, w) of whether pictures (B, 3, 8h, 8w) are the larger decoder's for z."""

    def __init__(self, width: int = 32, latent: int = 4) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 4 * width]
        halving: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            halving += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.small = nn.Sequential(*halving)
        self.judge = nn.Sequential(
            nn.Conv2d(sizes[-1] + latent, sizes[-1], 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(sizes[-1], 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, picture: Tensor, z: Tensor) -> Tensor:
        return self.judge(torch.cat((self.small(picture), z), 1))


@torch.no_grad()
def compared(
    tiny: AutoencoderTiny, larger: AutoencoderTiny, resolution: int, held_out: int, rounds: int = 20
) -> dict[str, float]:
    """What the tiny decoder costs and saves: attribute accuracy of renders, times as fast."""
    judge = Evaluator.load()
    ours, theirs = (of_renders(judge, held_out, resolution, vae) for vae in (tiny, larger))
    z = torch.randn(1, 4, resolution // FACTOR, resolution // FACTOR)
    return {
        "attribute_accuracy": round(ours, 4),
        "attribute_accuracy_larger": round(theirs, 4),
        "faster": faster(Autoencoder(tiny), Autoencoder(larger), z, rounds),
    }


@torch.no_grad()
def faster(tiny: Autoencoder, larger: Autoencoder, z: Tensor, rounds: int) -> float:
    """How many times faster the tiny one shows latents."""
    seconds: dict[str, list[float]] = {"tiny": [], "larger": []}
    for _ in range(rounds + 2):  # the first two to warm up; in turns, so that both meet the same
        for name, vae in (("tiny", tiny), ("larger", larger)):
            began = time.perf_counter()
            vae.decode(z)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    return round(medians["larger"] / medians["tiny"], 2)


@torch.no_grad()
def likeness(tiny: AutoencoderTiny, larger: Autoencoder, latents: Tensor) -> dict[str, float]:
    """How near the tiny decoder's pictures of latents (N, 4, h, w) are to the larger one's: PSNR in
    dB; and how many times faster it is, on the CPU."""
    ours = Autoencoder(tiny)
    errors = [(ours.decode(z) - larger.decode(z)).div(2).square().mean() for z in latents.split(4)]
    psnr = -10 * torch.stack(errors).mean().log10().item()
    return {"psnr": round(psnr, 2), "faster": faster(ours, larger, latents[:1], 5)}


class Options(RenderOptions, steps=6000, batch=16, lr=3e-4, pictures=6000, seed=8):
    autoencoder: Path = stage.needs("the larger one", "autoencoder")
    painted_alone: bool = option(False, "without renders, as of a model of any world",
                                 recorded="given")  # fmt: skip
    pairs: Path = stage.needs("latents that were painted", "pairs")
    painted_by: Path | None = stage.takes(
        "whose decoder says what those show (default: the larger one's)", "autoencoder"
    )
    artists: bool = option(False, "learn latents of other artists' pictures, too", recorded="given")
    width: int | None = option(
        24, "channels of the decoder", type=positive,
        off=("--whole", "the larger one's own learns on, as for --painted-by with --artists"),
    )  # fmt: skip
    scale: int = option(8, "how much smaller the pictures of the L1 are", type=positive)
    held_out: int = option(1000, "renders to compare the two by", type=positive, recorded="never")
    gan: float = option(1.0, "gradient of the GAN relative to the L1's; 0 is off")


def train(options: Options) -> None:
    """Leave the larger one's encoder and a tiny decoder in `run`. Raises TrainingError."""
    seed, resolution = options.seed, options.resolution
    larger = Autoencoder.load(options.autoencoder).placed()
    painter = Autoencoder.load(options.painted_by).placed() if options.painted_by else larger
    painted, spent = Pairs(options.pairs), 0.0
    if options.painted_alone:
        known = paintings = painted.latents[:-HELD_OUT]
    else:
        vae = read_autoencoder(options.autoencoder)
        data = encode_scenes(options.run, placed(vae), options.pictures, seed, resolution)
        paintings, spent = painted.latents[: len(data.latents)], data.seconds
        known = torch.cat((paintings, data.latents))
    if options.artists:
        scenes = sample_scenes(options.pictures, seed)
        drawn = draw_pictures(scenes, resolution, "other artists", random.Random(seed))
        known = torch.cat((known, encoded(larger, drawn).half()))
    torch.manual_seed(seed)
    tiny, judge = placed(build(larger, options.width)), placed(Discriminator())
    decoder = tiny.decoder.train()
    also = None if isinstance(larger.network, AutoencoderTiny) else tiny.encoder.train()
    last = decoder.layers[-1].weight
    learner, other = (
        Learner(name, network, options.lr, also=other, optimizer=f"{name}_optimizer", clip=None,
                betas=(0.9, 0.9), amsgrad=True, weight_decay=0.0, fused=None)
        for name, network, other in (("decoder", decoder, also), ("judge", judge, None))
    )  # fmt: skip

    def batch_of(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random windows of latents (B, 4, CROP, CROP), and what they show (B, 3, 8 CROP, ...)."""
        rows = torch.randint(len(known), (options.batch,), generator=generator).sort().values
        most = known.shape[-1] - CROP + 1
        corners = torch.randint(most, (options.batch, 2), generator=generator).tolist()
        windows = [
            known[row, :, y : y + CROP, x : x + CROP]
            for row, (y, x) in zip(rows.tolist(), corners, strict=True)
        ]
        z = torch.stack(windows).float().to(DEVICE)
        return z, shown(z, int((rows < len(paintings)).sum()), painter, larger)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        factor = loop.trapezoid(index, options.steps)
        z, target = batch_of(generator)
        with fast():
            ours = decoder(z).float()
            fooled = judge(ours, z).float()
        l1 = coarse_l1(ours, target, options.scale)
        adversarial = unmasked([fooled])
        strength = options.gan * proportion(l1, adversarial, last) if options.gan else 0.0
        loss = l1 + strength * adversarial
        if also is not None:
            with fast():
                given = also(target).float()
            loss = loss + F.mse_loss(given, z)
        learner.update(loss, factor)

        with fast():
            real, fake = judge(target, z).float(), judge(ours.detach(), z).float()
        judged = hinge([real], [fake])
        other.update(judged, factor)
        return {"l1": l1.item(), "judged": judged.item(), "strength": strength}

    facts = {"autoencoder": loop.fingerprint(larger.network), "pairs": painted.settings}
    if options.painted_by is not None:
        facts["painted_by"] = loop.fingerprint(painter.network)
    parts = {**learner.parts, **other.parts}
    parts |= {"encoder": also} if also is not None else {}
    with stage.trained(options, parts, step, facts, flat=loop.FLAT, spent=spent) as measured:
        tiny = tiny.cpu().eval()
        tiny.save_pretrained(options.run / "vae")
        if options.painted_alone:
            larger.network.cpu()
            measured |= likeness(tiny, larger, painted.latents[-HELD_OUT:].float())
        else:
            measured |= fidelity(tiny, resolution, options.artists, min(256, options.held_out))
            measured |= compared(tiny, larger.network.cpu(), resolution, options.held_out)


main = stage.main(Options, train, __name__)
