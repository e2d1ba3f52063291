"""What a reader of latents learns from: encoded scenes and what is true of each of their cells.

Plain renders, and two kinds of faulty ones: scenes with two things of one kind, and scenes cut in
two by a line, with other colours, another sky or another ground beyond it.
"""

import dataclasses
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.storybook.world.artists import any_artist, redraw
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SIZES, SKIES, THINGS, Scene, sample_scenes
from sdxs.storybook.world.words import UNSEEN_PAIRS
from sdxs.train.parts.cache import cached
from sdxs.train.parts.latents import CHUNK
from sdxs.train.parts.models import FACTOR
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE, fast, placed

FEW = 8  # scenes by one artist
FOOT = 0.05  # deviation of the blob that marks where a thing touches the ground
KINDS = 3  # of scenes: plain ones, doubled things, cut in two


def doubled(count: int, seed: int) -> list[Scene]:
    """Scenes with two things of one kind, half of them of one colour, too."""
    rng = random.Random(seed)
    out: list[Scene] = []
    for scene in sample_scenes(5 * count, seed):
        if len(scene.things) == 2 and len(out) < count:
            first, second = scene.things
            colour = first.colour if rng.random() < 0.5 else second.colour
            if (colour, first.kind) not in UNSEEN_PAIRS:
                twin = dataclasses.replace(second, kind=first.kind, colour=colour)
                out.append(dataclasses.replace(scene, things=(first, twin)))
    return out


def repainted(scene: Scene, rng: random.Random) -> Scene:
    """The same scene with other colours, and now and then another sky or ground."""

    def other(kind: str) -> str:
        return rng.choice([c for c in COLOURS if (c, kind) not in UNSEEN_PAIRS])

    things = tuple(
        dataclasses.replace(thing, colour=other(thing.kind)) if rng.random() < 0.8 else thing
        for thing in scene.things
    )
    sky = rng.choice(SKIES) if rng.random() < 0.4 else scene.sky
    ground = rng.choice(GROUNDS) if rng.random() < 0.4 else scene.ground
    return dataclasses.replace(scene, things=things, sky=sky, ground=ground)


def cut(scene: Scene, rng: random.Random, size: int) -> Tensor:
    """A mask (1, size, size): 1 on one side of a line through one of the things, 0 beyond."""
    thing = rng.choice(scene.things)
    x = thing.x + rng.uniform(-0.25, 0.25) * thing.height
    y = thing.y - rng.uniform(0.25, 0.75) * thing.height
    angle, soft = rng.uniform(0, 2 * math.pi), rng.uniform(0.01, 0.08)
    line = (torch.arange(size) + 0.5) / size
    across = (line[None, :] - x) * math.cos(angle) + (line[:, None] - y) * math.sin(angle)
    return (across / soft + 0.5).clamp(0, 1)[None]


@dataclass(frozen=True)
class Drawn:
    """Encoded scenes and what is true of each cell.

    latents (N, 4, h, w) float16; seen (N, 2, h, w) uint8, the share of a cell in which thing i is
    seen, times 255; first (N, 1, h, w) uint8, the share on the scene's side of the cut, times 255.
    kinds, colours, others, sizes (N, 2): of thing i, `others` beyond the cut; skies, grounds
    (N, 2): before and beyond it. feet (N, 2, 3): x, y, and 1 where there is a thing i.
    """

    latents: Tensor
    seen: Tensor
    first: Tensor
    kinds: Tensor
    colours: Tensor
    others: Tensor
    sizes: Tensor
    skies: Tensor
    grounds: Tensor
    feet: Tensor

    def rows(self, index: Tensor) -> "Drawn":
        """Those of them."""
        return Drawn(*(getattr(self, f.name)[index] for f in dataclasses.fields(self)))


def joined(parts: list[Drawn]) -> Drawn:
    names = [field.name for field in dataclasses.fields(Drawn)]
    return Drawn(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@torch.no_grad()
def draw(
    vae: AutoencoderTiny,
    scenes: list[Scene],
    resolution: int,
    beyond: list[Scene] | None = None,
    rng: random.Random | None = None,
    artists: random.Random | None = None,
) -> Drawn:
    """Render and encode scenes, each cut in two where `beyond` says how it is on the other side.

    artists: chooses who redraws them, a few at a time; half of them nobody.
    """
    latents, seen, sides = [], [], []
    encoder = placed(vae).encoder
    few = CHUNK if artists is None else FEW
    for i in tqdm(range(0, len(scenes), few), desc="latents", dynamic_ncols=True, mininterval=2):
        some = scenes[i : i + few]
        artist = any_artist(artists) if artists and artists.random() < 0.5 else None
        drawn = render(some, resolution)
        picture, side = redraw(drawn, artist), torch.ones(len(some), 1, resolution, resolution)
        if beyond is not None and rng is not None:
            side = torch.stack([cut(scene, rng, resolution) for scene in some])
            other = redraw(render(beyond[i : i + few], resolution), artist)
            picture = torch.lerp(other, picture, side)
        with fast():
            z = encoder(picture.to(DEVICE, memory_format=torch.channels_last))
        latents.append(z.cpu().contiguous().half())
        seen.append(whole(F.avg_pool2d(drawn.seen, FACTOR)))
        sides.append(whole(F.avg_pool2d(side, FACTOR)))
    others = scenes if beyond is None else beyond

    def of(scene: Scene, field: str, names: tuple[str, ...]) -> list[int]:
        return [*(names.index(getattr(thing, field)) for thing in scene.things), 0][:2]

    return Drawn(
        latents=torch.cat(latents),
        seen=torch.cat(seen),
        first=torch.cat(sides),
        kinds=torch.tensor([of(s, "kind", THINGS) for s in scenes]),
        colours=torch.tensor([of(s, "colour", COLOURS) for s in scenes]),
        others=torch.tensor([of(s, "colour", COLOURS) for s in others]),
        sizes=torch.tensor([of(s, "size", SIZES) for s in scenes]),
        skies=torch.tensor(
            [[SKIES.index(a.sky), SKIES.index(b.sky)] for a, b in zip(scenes, others, strict=True)]
        ),
        grounds=torch.tensor(
            [
                [GROUNDS.index(a.ground), GROUNDS.index(b.ground)]
                for a, b in zip(scenes, others, strict=True)
            ]
        ),
        feet=torch.tensor(
            [[*([t.x, t.y, 1.0] for t in s.things), [0.0, 0.0, 0.0]][:2] for s in scenes]
        ),
    )


def whole(shares: Tensor) -> Tensor:
    """Shares in [0, 1] as bytes."""
    return (shares * 255).round().clamp(0, 255).byte()


def all_drawn(
    folder: Path, vae: AutoencoderTiny, pictures: int, seed: int, resolution: int,
    artists: bool = False,
) -> tuple[list[Drawn], float]:  # fmt: skip
    """Plain scenes, doubled things, scenes cut in two, made now or read from `folder`; the seconds.

    pictures: how many plain ones; of each faulty kind there are a third of that. artists: redraw
    half of them.
    """
    names = [field.name for field in dataclasses.fields(Drawn)]
    rng, faulty = random.Random(seed), max(1, pictures // 3)
    hands = random.Random(seed) if artists else None

    def make() -> dict[str, Tensor]:
        cuts = sample_scenes(faulty, seed + 2)
        parts = [
            draw(vae, sample_scenes(pictures, seed), resolution, artists=hands),
            draw(vae, doubled(faulty, seed + 1), resolution, artists=hands),
            draw(vae, cuts, resolution, [repainted(scene, rng) for scene in cuts], rng, hands),
        ]
        return {f"{i}.{name}": getattr(p, name) for i, p in enumerate(parts) for name in names}

    about: dict[str, Any] = {"pictures": pictures, "seed": seed, "resolution": resolution}
    about |= {"encoder": loop.fingerprint(vae.encoder), **({"artists": True} if artists else {})}
    data, seconds = cached(folder, "drawn", about, make)
    return [Drawn(*(data[f"{i}.{name}"] for name in names)) for i in range(KINDS)], seconds


@dataclass(frozen=True)
class Truth:
    """What a `Reading` should say; shares of classes per cell sum to 1 where they count.

    kinds (B, K + 1, h, w), colours (B, 8, h, w), sizes (B, 2, h, w), skies (B, 3, h, w), grounds
    (B, 4, h, w), density (B, K, h, w); thing (B, 1, h, w): the share of a cell that is of a thing;
    present, counts (B, K).
    """

    kinds: Tensor
    colours: Tensor
    sizes: Tensor
    skies: Tensor
    grounds: Tensor
    density: Tensor
    thing: Tensor

    @property
    def counts(self) -> Tensor:
        return self.density.sum((2, 3))

    def on(self, device: torch.device) -> "Truth":
        return Truth(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))


def truth(drawn: Drawn) -> Truth:
    """From scenes to cells."""
    seen, first = drawn.seen.float() / 255, drawn.first.float() / 255
    thing = seen.sum(1, keepdim=True)

    def spread(values: Tensor, names: Tensor, count: int) -> Tensor:
        """Values (B, 2, h, w), of thing 0 and 1 or of the two sides, to their classes."""
        hot = F.one_hot(names, count).float()  # (B, 2, count)
        return torch.einsum("bshw,bsc->bchw", values, hot)

    def of_thing(values: Tensor) -> Tensor:
        return values / thing.clamp(min=1e-3)

    sides = torch.cat((first, 1 - first), 1)
    kinds = spread(seen, drawn.kinds, len(THINGS))
    colours = spread(seen * first, drawn.colours, len(COLOURS)) + spread(
        seen * (1 - first), drawn.others, len(COLOURS)
    )
    h, w = seen.shape[2:]
    x, y = (torch.arange(w) + 0.5) / w, (torch.arange(h) + 0.5) / h
    at_x, at_y = drawn.feet[..., 0, None], drawn.feet[..., 1, None]
    across = (-0.5 * ((x - at_x) / FOOT) ** 2).exp()
    down = (-0.5 * ((y - at_y) / FOOT) ** 2).exp()
    blob = down[..., :, None] * across[..., None, :]
    blob = blob / blob.sum((2, 3), keepdim=True) * drawn.feet[..., 2, None, None]
    return Truth(
        kinds=torch.cat((kinds, (1 - thing).clamp(min=0)), 1),
        colours=of_thing(colours),
        sizes=of_thing(spread(seen, drawn.sizes, len(SIZES))),
        skies=spread(sides, drawn.skies, len(SKIES)),
        grounds=spread(sides, drawn.grounds, len(GROUNDS)),
        density=spread(blob, drawn.kinds, len(THINGS)),
        thing=thing,
    )
