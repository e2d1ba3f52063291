"""The reader: a frozen network that says what latents show, for a reward.

It learns from encoded renders with noise on them, and from two kinds of faulty ones: scenes with
two things of one kind, or else it could not count, and scenes cut in two by a line, with other
colours, another sky or ground beyond it, or else it could not see that a thing is in two colours.
The pairs of thing and colour that training never shows are shown to it neither. With `--artists`,
half of all are redrawn by artists, for a reader of pictures in a style.

With `--shown` it reads the pictures that the decoder makes of latents (`sdxs.train.parts.shown`).

What is rewarded by it soon finds latents that please it and show nothing. So it also learns from
latents that were changed to be misread (arXiv 1706.06083, in one step): what still pleases such a
reader looks like what it reads (arXiv 1906.09453).
"""

import math
import random
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.storybook.judges.evaluator import check
from sdxs.storybook.judges.tallies import tally
from sdxs.storybook.world.captions import describe
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes
from sdxs.train.parts.annotated import (
    Drawn,
    Truth,
    all_drawn,
    doubled,
    draw,
    joined,
    repainted,
    truth,
)
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.latents import CHUNK
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.parts.reading import LEAST, Reader, Reading
from sdxs.train.parts.renders import to_unit
from sdxs.train.parts.shown import PATCH, Shown, patches, pictures_of
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed, short_attention
from sdxs.train.run.options import RenderOptions, option, positive

NOISE = 0.35  # the most noise on the latents, in their own units
GRAIN = 0.05  # and on pictures in [-1, 1]
COUNTING = 2.0  # weight of the counts
SHARES = (0.6, 0.2, 0.2)  # of a batch: plain scenes, doubled things, scenes cut in two


def entropies(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy of each cell, (B, 1, h, w), from logits and shares (B, C, h, w)."""
    return -(shares * logits.log_softmax(1)).sum(1, keepdim=True)


def reading_loss(reading: Reading, true: Truth) -> Tensor:
    """Cross entropies of all that a cell shows; for the density a Poisson's, and the counts' L1."""
    half = true.skies.shape[2] // 2
    mass = true.thing.sum()
    kinds = entropies(reading.kinds, true.kinds).mean()
    colours, sizes = (
        (true.thing * entropies(ours, shares)).sum() / mass
        for ours, shares in ((reading.colours, true.colours), (reading.sizes, true.sizes))
    )
    sky = entropies(reading.skies, true.skies)[:, :, :half].mean()
    ground = entropies(reading.grounds, true.grounds)[:, :, half:].mean()
    present = F.binary_cross_entropy_with_logits(
        reading.present, (true.counts > 0).to(reading.present.dtype)
    )
    counts = F.smooth_l1_loss(reading.counts, true.counts, beta=0.2, reduction="none").sum(1).mean()
    density = (reading.density - true.density * reading.density.clamp(min=LEAST).log()).sum(
        (1, 2, 3)
    )
    return 4 * kinds + colours + sizes + sky + ground + present + COUNTING * counts + density.mean()


def misleading(
    reader: Reader, z: Tensor, true: Truth, strength: float, generator: torch.Generator
) -> Tensor:
    """z (B, 4, h, w) changed to be misread, each by a root mean square of up to `strength`."""
    leaf = z.detach().requires_grad_()
    with fast():
        reading = reader(leaf)
    with short_attention():
        (slope,) = torch.autograd.grad(reading_loss(reading, true), leaf)
    size = slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    far = strength * torch.rand(len(z), 1, 1, 1, generator=generator).to(z.device)
    return (z + far * slope / size).detach()


@torch.no_grad()
def measure(
    reader: nn.Module, vae: AutoencoderTiny, count: int, resolution: int
) -> dict[str, float]:
    """What it gets right of encoded renders that nothing trains on, all pairs of them.

    right: share of stated attributes; unseen: of captions with a pair that training never shows;
    counted: share of scenes in which every kind's count is right to the nearest whole number, of
    plain ones and of such with doubled things; mixed: share of the things cut in two by colour in
    which the second colour is read, too.
    """
    rng, out = random.Random(HELD_OUT_SEED), {}

    def read(drawn: Drawn) -> Reading:
        parts = []
        for z in drawn.latents.split(CHUNK):
            with fast():
                parts.append(reader(z.float().to(DEVICE, memory_format=torch.channels_last)))
        return Reading(*(torch.cat(fields).cpu() for fields in zip(*parts, strict=True)))

    def counted(reading: Reading, drawn: Drawn) -> float:
        return float((reading.counts.round() == truth(drawn).counts.round()).all(1).float().mean())

    for name, unseen in (("right", "never"), ("unseen", "always")):
        scenes = sample_scenes(count, HELD_OUT_SEED, unseen=unseen)
        drawn = draw(vae, scenes, resolution)
        reading = read(drawn)
        captions = [describe(scene, rng) for scene in scenes]
        right, total = tally(check(reading.sight(), captions))["attribute_accuracy"]
        out[name] = right / total
        if name == "right":
            out["counted"] = counted(reading, drawn)
    twins = draw(vae, doubled(count, HELD_OUT_SEED), resolution)
    out["counted_twins"] = counted(read(twins), twins)
    cuts = sample_scenes(count, HELD_OUT_SEED)
    mixed = draw(vae, cuts, resolution, [repainted(scene, rng) for scene in cuts], rng)
    reading, true = read(mixed), truth(mixed)
    in_truth = Reading(true.kinds.clamp(min=1e-9).log(), *reading[1:])
    wanted = torch.einsum("bkhw,bchw->bkc", in_truth.shares, true.colours)
    wanted = wanted / wanted.sum(-1, keepdim=True).clamp(min=1e-6)
    two = wanted.sort(-1).values[..., -2] > 0.25
    two &= in_truth.shares.sum((2, 3)) > 4
    least = reading.over(reading.colours).sort(-1).values[..., -2]
    out["mixed"] = float((least[two] > 0.12).float().mean()) if two.any() else math.nan
    return {name: round(value, 4) for name, value in out.items()}


class Options(RenderOptions, steps=1600, batch=80, lr=1.5e-3, pictures=10500, seed=41):
    autoencoder: Path = stage.needs("whose latents it reads", "autoencoder")
    begin: Path | None = stage.takes("an earlier one to go on from", "reader")
    width: int = option(64, "channels at full size", type=positive)
    robust: float = option(0.0, "how far latents are changed to be misread; 0 is not")
    shown: bool = option(
        False, "read the pictures that the decoder makes of latents", recorded="given"
    )
    artists: bool = option(False, "half of the renders by other artists", recorded="given")
    held_out: int = option(500, "scenes to measure it on", type=positive, recorded="never")


def train(options: Options) -> None:
    """Leave a reader in `run`. Raises TrainingError.

    Of `pictures` plain scenes, and a third of that of each faulty kind.
    """
    if options.shown and (options.robust or options.begin):
        raise loop.TrainingError("--shown goes without --begin and --robust")
    vae = read_autoencoder(options.autoencoder)
    drawn, spent = all_drawn(
        options.run, vae, options.pictures, options.seed, options.resolution, options.artists
    )
    torch.manual_seed(options.seed)
    reader = placed(Reader(options.width, PATCH if options.shown else LATENT_CHANNELS))
    facts = {"autoencoder": loop.fingerprint(vae)}
    if options.begin is not None:
        before = Reader.load(options.begin / "reader")
        if (before.channels, before.width) != (reader.channels, reader.width):
            raise loop.TrainingError(
                f"--begin takes a reader of latents, {reader.width} channels wide (--width)"
            )
        reader.load_state_dict(before.state_dict())
        facts["begins_with"] = loop.fingerprint(reader)
    learner = Learner("reader", reader, options.lr, 0.998)
    counts = [max(1, round(share * options.batch)) for share in SHARES]
    pictures: list[Tensor] | None = None
    if options.shown:
        pictures, more = pictures_of(options.run, vae, drawn, options.seed)
        spent += more

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = [
            torch.randint(len(part.latents), (count,), generator=generator)
            for part, count in zip(drawn, counts, strict=True)
        ]
        some = joined([part.rows(which) for part, which in zip(drawn, rows, strict=True)])
        z, noise = some.latents.float(), NOISE
        if pictures:
            seen = [part[which] for part, which in zip(pictures, rows, strict=True)]
            z, noise = patches(to_unit(torch.cat(seen)), z.shape[-1]), GRAIN
        strength = noise * torch.rand(len(z), 1, 1, 1, generator=generator)
        z = z + strength * torch.randn(z.shape, generator=generator)
        true = truth(some).on(DEVICE)
        z = z.to(DEVICE, memory_format=torch.channels_last)
        if options.robust:
            z = misleading(reader, z, true, options.robust, generator)
        with fast():
            reading = reader(z)
        loss = reading_loss(reading, true)
        learner.update(loss, loop.cosine(index, options.steps))
        off = (reading.counts - true.counts).abs().sum(1).mean()
        return {"loss": loss.item(), "miscounted": off.item()}

    with stage.trained(options, learner.parts, step, facts, spent=spent) as measured:
        learner.settle()
        reader.eval()
        sees = placed(Shown(reader, vae.decoder)) if options.shown else reader
        measured |= measure(sees, vae, options.held_out, options.resolution)
        reader.save(options.run / "reader")
        if options.shown:
            vae.cpu().save_pretrained(options.run / "vae")  # it reads what this one shows


main = stage.main(Options, train, __name__)
