"""Train the evaluator on renders: all colour-thing pairs, half of them through the autoencoder.

Noise is added, to the latents of that half and to all pictures, and blur to some, so that it
judges what is drawn and not how neatly. With `--artists`, two thirds are drawn by artists, and the
judge also learns to say by whose and where things are: the one that scores styles.
"""

import random
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.judges.accuracy import of_renders
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.styles import PLAIN, StyleJudge, of_artists
from sdxs.storybook.world.artists import ARTISTS, any_artist, redraw
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SIZES, SKIES, THINGS, Scene, sample_scenes
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.renders import distorted, draw_pictures, rendered, to_bytes, to_unit
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, option, positive

BLURRED = 0.33  # share of the pictures
LATENT_NOISE = 0.25  # at most, in units of the latents' deviation


def labels(scenes: list[Scene]) -> dict[str, Tensor]:
    """Targets of every head; -1 (or NaN) where a thing is not there."""
    count, kinds = len(scenes), len(THINGS)
    out = {
        "present": torch.zeros(count, kinds),
        "colour": torch.full((count, kinds), -1),
        "size": torch.full((count, kinds), -1),
        "where": torch.full((count, kinds, 2), torch.nan),
        "sky": torch.tensor([SKIES.index(s.sky) for s in scenes]),
        "ground": torch.tensor([GROUNDS.index(s.ground) for s in scenes]),
    }
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            kind = THINGS.index(thing.kind)
            out["present"][row, kind] = 1
            out["colour"][row, kind] = COLOURS.index(thing.colour)
            out["size"][row, kind] = SIZES.index(thing.size)
            out["where"][row, kind] = torch.tensor([thing.x, thing.y])
    return out


def drawn_by_artists(
    scenes: list[Scene], resolution: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures uint8 (N, 3, R, R), which artist (N,), and where things are (N, 1, R / 2, R / 2).

    Every few scenes by the renderer itself, by an artist of ARTISTS, by one that nobody named (-1).
    """
    rng, parts, artists, masks = random.Random(seed), [], [], []
    for number, drawn in enumerate(rendered(scenes, resolution, some=8)):
        picture, artist = drawn.picture, PLAIN
        if number % 3 == 1:
            name = rng.choice(list(ARTISTS))
            picture, artist = redraw(drawn, ARTISTS[name]), 1 + list(ARTISTS).index(name)
        elif number % 3 == 2:
            picture, artist = redraw(drawn, any_artist(rng)), -1
        parts.append(to_bytes(picture))
        artists.append(torch.full((len(picture),), artist))
        masks.append(F.avg_pool2d(drawn.seen.sum(1, keepdim=True), 2).clamp(0, 1))
    return torch.cat(parts), torch.cat(artists), torch.cat(masks)


@torch.no_grad()
def round_trip(vae: AutoencoderTiny, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 pictures to the latent space and, from somewhere near there, back."""
    parts = []
    for part in pictures.split(32):
        strength = LATENT_NOISE * torch.rand(len(part), 1, 1, 1, generator=generator)
        with fast():
            z = vae.encoder(placed(to_unit(part)))
            noise = torch.randn(z.shape, generator=generator)
            ours = vae.decoder(z + (strength * noise).to(DEVICE, z.dtype))
        parts.append(to_bytes(ours.float()).cpu())
    return torch.cat(parts)


class Options(RenderOptions, steps=3200, batch=32, lr=2e-3, pictures=12000, seed=77):
    autoencoder: Path = stage.needs("what half of the pictures go through", "autoencoder")
    artists: bool = option(False, "learn other artists, too: the judge of styles", recorded="given")
    held_out: int = option(1000, "renders to judge it by", type=positive, recorded="never")


def train(options: Options) -> None:
    """Leave an evaluator, with artists a `StyleJudge`, in `run`/evaluator. Raises TrainingError."""
    seed, resolution = options.seed, options.resolution
    vae = placed(read_autoencoder(options.autoencoder))
    scenes = sample_scenes(options.pictures, seed, unseen="any")
    target = labels(scenes)
    if options.artists:
        drawn, target["artist"], target["mask"] = drawn_by_artists(scenes, resolution, seed)
    else:
        drawn = draw_pictures(scenes, resolution, "renders")
    drawn[::2] = round_trip(vae, drawn[::2], loop.chance(seed, -1))
    torch.manual_seed(seed)
    model = placed(StyleJudge() if options.artists else Evaluator())
    learner = Learner("model", model, options.lr, clip=None, betas=(0.9, 0.999), fused=None)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = torch.randint(options.pictures, (options.batch,), generator=generator)
        picture = placed(distorted(to_unit(drawn[rows]), BLURRED, generator))
        want = {name: value[rows].to(DEVICE) for name, value in target.items()}
        model.train()
        with fast():
            sight, *styled = model.all(picture) if options.artists else (model(picture),)
        there = want["present"].bool()
        losses = [
            F.binary_cross_entropy_with_logits(sight.present.float(), want["present"]),
            F.cross_entropy(sight.colour[there].float(), want["colour"][there]),
            F.cross_entropy(sight.size[there].float(), want["size"][there]),
            10 * F.l1_loss(sight.where[there].float(), want["where"][there]),
            F.cross_entropy(sight.sky.float(), want["sky"]),
            F.cross_entropy(sight.ground.float(), want["ground"]),
        ]
        if styled:
            artist, mask = (part.float() for part in styled)
            guesses = F.cross_entropy(artist, want["artist"], ignore_index=-1, reduction="sum")
            losses.append(guesses / (want["artist"] >= 0).sum().clamp(min=1))
            losses.append(F.binary_cross_entropy_with_logits(mask, want["mask"]))
        loss = sum(losses[1:], losses[0])
        learner.update(loss, loop.cosine(index, options.steps))
        return {"loss": loss.item(), "present": losses[0].item(), "colour": losses[1].item()}

    facts = {"autoencoder": loop.fingerprint(vae)}
    with stage.trained(options, learner.parts, step, facts) as measured:
        out = options.run / "evaluator"
        model.cpu().eval().save(out)
        vae.cpu()
        judge = type(model).load(out)
        for name, through in (("renders", None), ("after_autoencoder", vae)):
            measured[name] = round(of_renders(judge, options.held_out, resolution, through), 4)
        if isinstance(judge, StyleJudge):
            measured |= of_artists(judge, options.held_out, resolution)


main = stage.main(Options, train, __name__)
