"""A reward: how far what a frozen reader sees in latents is from what their captions say.

What a caption leaves open is decided, too: one colour a thing, one sky, one ground, whichever, and
nothing that was not asked for. Knows nothing of the model that painted them.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.world.captions import Caption
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, PLACE_X, SIZES, SKIES, THINGS
from sdxs.train.parts.reading import FEW, Reading, averaged

WEIGHTS = {
    "present": 3.0,
    "counts": 1.0,
    "colours": 1.0,
    "sizes": 1.0,
    "sky": 1.0,
    "ground": 1.0,
    "layout": 1.0,
    "open": 0.5,
    "held": 2.0,
}
ASKED = 3.0  # a kind that is asked for weighs this much of one that is not
DEEP = 0.16  # how much lower what stands in front touches the ground
APART = 0.25  # how far to the side of each other things are
LEVEL = 0.06  # how much lower one of two things side by side may stand
STEEP = 8.0  # weight of what is missing to a place or a distance, in sides of a picture


@dataclass(frozen=True)
class Wanted:
    """What captions say, as numbers; -1 where a caption says nothing.

    counts (B, K); colours, sizes (B, K); sky, ground (B,). places: row, kind, lowest and highest x.
    relations: row, relation, kinds of the first and of the second thing.
    """

    counts: Tensor
    colours: Tensor
    sizes: Tensor
    sky: Tensor
    ground: Tensor
    places: tuple[tuple[int, int, float, float], ...]
    relations: tuple[tuple[int, str, int, int], ...]

    @classmethod
    def of(cls, captions: list[Caption], device: torch.device | str = "cpu") -> Self:
        shape = len(captions), len(THINGS)
        counts = torch.zeros(shape)
        colours, sizes = torch.full(shape, -1), torch.full(shape, -1)
        places, relations = [], []
        for row, caption in enumerate(captions):
            kinds = [THINGS.index(thing.kind) for thing in caption.things]
            for kind, thing in zip(kinds, caption.things, strict=True):
                counts[row, kind] += 1
                colours[row, kind] = place_in(COLOURS, thing.colour)
                sizes[row, kind] = place_in(SIZES, thing.size)
            if caption.place is not None:
                places.append((row, kinds[0], *PLACE_X[caption.place]))
            if caption.relation is not None:
                relations.append((row, caption.relation, kinds[0], kinds[1]))
        return cls(
            counts.to(device),
            colours.to(device),
            sizes.to(device),
            torch.tensor([place_in(SKIES, c.sky) for c in captions], device=device),
            torch.tensor([place_in(GROUNDS, c.ground) for c in captions], device=device),
            tuple(places),
            tuple(relations),
        )


def place_in(names: tuple[str, ...], name: str | None) -> int:
    return -1 if name is None else names.index(name)


def stated(means: Tensor, wanted: Tensor) -> Tensor:
    """Mean of mean cross entropies (..., classes) at the classes wanted (...), -1 for any."""
    which = wanted >= 0
    if not which.any():
        return means.sum() * 0
    return means[which].gather(-1, wanted[which][:, None]).mean()


def undecided(shares: Tensor, which: Tensor) -> Tensor:
    """Mean entropy of the distributions (..., classes) in `which` (...)."""
    if not which.any():
        return shares.sum() * 0
    chosen = shares[which] + FEW
    chosen = chosen / chosen.sum(-1, keepdim=True)
    return -(chosen * chosen.log()).sum(-1).mean()


def layout(where: Tensor, wanted: Wanted) -> Tensor:
    """What is missing to the places and relations that are stated, from places (B, K, 2)."""
    missing = []
    for row, kind, low, high in wanted.places:
        off = (where[row, kind, 0] - (low + high) / 2).abs() - (high - low) / 2
        missing.append(STEEP * F.relu(off))
    for row, name, first, second in wanted.relations:
        right, down = where[row, first] - where[row, second]
        if name in ("front", "behind"):
            missing.append(STEEP * F.relu(DEEP - (down if name == "front" else -down)))
            continue
        beside = F.relu(APART - {"left": -right, "right": right, "beside": right.abs()}[name])
        missing.append(STEEP * (F.relu(down.abs() - LEVEL) + beside / 2))
    return torch.stack(missing).mean() if missing else where.sum() * 0


def terms(reading: Reading, wanted: Wanted) -> dict[str, Tensor]:
    """Each part of the reward that captions ask for as a loss, not below 0, by the names in
    WEIGHTS."""
    asked = wanted.counts > 0
    half = reading.skies.shape[2] // 2
    # where a thing is, is for `present` and `layout` to change, not for its colour
    shares = reading.shares.detach()

    def misread(logits: Tensor) -> Tensor:
        """Of each kind's cells the mean cross entropy with each class, (B, K, classes)."""
        return averaged(-logits.log_softmax(1), shares)

    sky, ground = reading.skies[:, :, :half], reading.grounds[:, :, half:]
    over = averaged(reading.colours.softmax(1), shares)
    open_colours = asked & (wanted.colours < 0) & (shares.sum((2, 3)) > 1)
    weight = torch.where(asked, ASKED, 1.0)
    return {
        "present": F.binary_cross_entropy_with_logits(
            reading.present, asked.to(reading.present.dtype), weight
        ),
        "counts": (reading.counts - wanted.counts).abs().sum(1).mean(),
        "colours": stated(misread(reading.colours), wanted.colours),
        "sizes": stated(misread(reading.sizes), wanted.sizes),
        "sky": stated(-sky.log_softmax(1).mean((2, 3)), wanted.sky),
        "ground": stated(-ground.log_softmax(1).mean((2, 3)), wanted.ground),
        "layout": layout(reading.where, wanted),
        "open": undecided(over, open_colours)
        + undecided(sky.softmax(1).mean((2, 3)), wanted.sky < 0)
        + undecided(ground.softmax(1).mean((2, 3)), wanted.ground < 0),
    }


def held(reading: Reading, kinds: Tensor, cells: Tensor) -> Tensor:
    """Mean cross entropy of things' kinds (B, 2) where they should stand: shares (B, 2, h, w).

    What stands elsewhere costs nothing here; nor does a thing whose shares are all zero.
    """
    rows = torch.arange(len(kinds), device=kinds.device)[:, None]
    missed = -reading.kinds.log_softmax(1)[rows, kinds]  # (B, 2, h, w)
    size = cells.sum((2, 3))
    means = (cells * missed).sum((2, 3)) / size.clamp(min=FEW)
    wanted = size > 0
    return means[wanted].mean() if wanted.any() else missed.sum() * 0


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum."""
    return sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros(()))
