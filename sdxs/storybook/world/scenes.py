"""What stands where: scenes drawn at random from a seed.

Positions are in units of the picture's side, (0, 0) the top left corner. A scene says nothing
of pixels (`render.py` draws it) nor of words (`captions.py` describes it). No torch here.
"""

import random
from dataclasses import dataclass

from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS

THINGS = tuple(WORDS["things"])
COLOURS = tuple(WORDS["colours"])
SIZES = tuple(WORDS["sizes"])
SKIES = tuple(WORDS["skies"])
GROUNDS = tuple(WORDS["grounds"])
PLACES = tuple(WORDS["places"])

HELD_OUT_SEED = 900_001  # of scenes that nothing trains on
THINGS_IN = {"alone": 1, "side": 2, "depth": 2}  # layout -> how many things
LAYOUT_ODDS = {"alone": 0.35, "side": 0.40, "depth": 0.25}
HEIGHT = {"small": (0.23, 0.28), "big": (0.40, 0.47)}  # of a thing, size by size
PLACE_X = {"left": (0.22, 0.32), "middle": (0.45, 0.55), "right": (0.68, 0.78)}


@dataclass(frozen=True)
class Thing:
    """One thing; (x, y) is the middle of the line on which it touches the ground."""

    kind: str
    colour: str
    size: str
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Scene:
    """Things from the farthest to the nearest, under a sky, on a ground.

    `layout` is "alone", "side" (one left of the other) or "depth" (one in front of the other).
    `nuisance` seeds what no caption mentions: clouds, hills, where the sun stands.
    """

    sky: str
    ground: str
    layout: str
    things: tuple[Thing, ...]
    horizon: float
    nuisance: int

    @property
    def place(self) -> str | None:
        """Where a lone thing stands; None when there are two."""
        if self.layout != "alone":
            return None
        x = self.things[0].x
        return next(place for place, (low, high) in PLACE_X.items() if low <= x <= high)


def sample_scene(rng: random.Random, *, unseen: str = "never") -> Scene:
    """Draw one scene. `unseen`: "never" (training), "any" (judges), or "always" (composition test):
    one of the things has a colour that training never shows on it."""
    layout = rng.choices(list(LAYOUT_ODDS), list(LAYOUT_ODDS.values()))[0]
    pairs = [_sample_pair(rng, "", unseen)]  # (colour, kind)
    if THINGS_IN[layout] == 2:
        pairs.append(_sample_pair(rng, pairs[0][1], "any" if unseen == "any" else "never"))
    rng.shuffle(pairs)
    sizes = [rng.choice(SIZES) for _ in pairs]
    heights = [rng.uniform(*HEIGHT[size]) for size in sizes]
    horizon = rng.uniform(0.42, 0.50)

    if layout == "alone":
        xs = [rng.uniform(*PLACE_X[rng.choice(PLACES)])]
        ys = [rng.uniform(0.70, 0.90)]
    elif layout == "side":
        gap = sum(heights) / 2 + rng.uniform(0.04, 0.12)
        middle = 0.5 + (heights[0] - heights[1]) / 4 + rng.uniform(-0.04, 0.04)
        xs = [middle - gap / 2, middle + gap / 2]
        y = rng.uniform(0.72, 0.86)
        ys = [y + rng.uniform(-0.03, 0.03) for _ in pairs]
    else:  # the first is the farther one
        gap = sum(heights) / 2 * rng.uniform(0.62, 0.80) * rng.choice((-1, 1))
        xs = [0.5 - gap / 2 + rng.uniform(-0.06, 0.06)] * 2
        xs[1] += gap
        ys = [rng.uniform(0.64, 0.70), rng.uniform(0.84, 0.92)]

    things = [
        Thing(kind, colour, size, x, y, height)
        for (colour, kind), size, x, y, height in zip(pairs, sizes, xs, ys, heights, strict=True)
    ]
    things.sort(key=lambda thing: thing.y)  # painted from the farthest to the nearest
    return Scene(
        sky=rng.choice(SKIES),
        ground=rng.choice(GROUNDS),
        layout=layout,
        things=tuple(things),
        horizon=horizon,
        nuisance=rng.getrandbits(32),
    )


def _sample_pair(rng: random.Random, taken: str, unseen: str) -> tuple[str, str]:
    if unseen == "always":
        return rng.choice(sorted(UNSEEN_PAIRS))
    while True:
        pair = rng.choice(COLOURS), rng.choice(THINGS)
        if pair[1] != taken and (unseen == "any" or pair not in UNSEEN_PAIRS):
            return pair


def sample_scenes(count: int, seed: int, *, unseen: str = "never") -> list[Scene]:
    """`count` scenes; scene i depends on (seed, i) alone, so any slice can be drawn again."""
    return [sample_scene(random.Random(f"{seed}/{i}"), unseen=unseen) for i in range(count)]
