"""Drawings as people begin them: one or two things in a few clean lines of a pen on white paper.

Drawn from outlines of their own, not from pictures, so that no control was taught by the like of
them. `doodles()` are sixty, which never change; `draw` gives one as a page would send it.
"""

import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from sdxs.storybook.world.captions import Caption, Stated
from sdxs.storybook.world.scenes import COLOURS, HEIGHT, THINGS
from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS

FROZEN = Path(__file__).parent / "doodles.jsonl"
SEED, COUNT = 606060, 60
SHARP = 2  # how much larger a drawing is drawn than it is given
Line = list[tuple[float, float]]  # points (u, v) of a thing's own frame, as in `things`


@dataclass(frozen=True)
class Doodled:
    """A thing that is drawn: its foot at (x, y), its height, in sides of the page."""

    kind: str
    colour: str
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Doodle:
    """A drawing and its prompt. horizon: its height from the top, None where none is drawn.

    pen: the width of the line, in sides of the page.
    """

    text: str
    things: tuple[Doodled, ...]
    horizon: float | None
    pen: float

    @property
    def caption(self) -> Caption:
        """The prompt, and what it states."""
        stated = tuple(Stated(thing.kind, thing.colour, None) for thing in self.things)
        return Caption(self.text, stated, None, None, None, None)


def _circle(u: float, v: float, radius: float, first: float = 0.0, last: float = 1.0) -> Line:
    """An arc between two shares of a whole turn."""
    turns = [2 * math.pi * (first + (last - first) * i / 32) for i in range(33)]
    return [(u + radius * math.cos(turn), v + radius * math.sin(turn)) for turn in turns]


def _closed(*corners: tuple[float, float]) -> Line:
    return [*corners, corners[0]]


def _heart() -> Line:
    turns = [2 * math.pi * i / 48 for i in range(49)]
    return [
        (0.48 * math.sin(t) ** 3,
         0.52 + (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)) / 31)
        for t in turns
    ]  # fmt: skip


def _star() -> Line:
    """In one stroke, from tip to tip."""
    turns = [math.pi * (0.5 + 0.8 * i) for i in range(6)]
    return [(0.5 * math.cos(turn), 0.41 + 0.5 * math.sin(turn)) for turn in turns]


LINES: dict[str, list[Line]] = {
    "ball": [_circle(0, 0.5, 0.5)],
    "cube": [_closed((-0.42, 0), (0.42, 0), (0.42, 0.9), (-0.42, 0.9))],
    "cone": [_closed((-0.45, 0), (0.45, 0), (0, 1))],
    "star": [_star()],
    "heart": [_heart()],
    "house": [
        _closed((-0.38, 0), (0.38, 0), (0.38, 0.55), (-0.38, 0.55)),
        [(-0.5, 0.55), (0, 1), (0.5, 0.55)],
        [(-0.1, 0), (-0.1, 0.3), (0.1, 0.3), (0.1, 0)],
    ],
    "tree": [[(-0.07, 0), (-0.07, 0.36)], [(0.07, 0), (0.07, 0.36)], _circle(0, 0.67, 0.33)],
    "mushroom": [
        [*_circle(0, 0.5, 0.48, 0, 0.5), (0.48, 0.5)],
        [(-0.14, 0.5), (-0.17, 0), (0.17, 0), (0.14, 0.5)],
    ],
    "boat": [
        _closed((-0.3, 0), (0.3, 0), (0.48, 0.3), (-0.48, 0.3)),
        [(0, 0.3), (0, 0.98)],
        _closed((0.02, 0.4), (0.4, 0.4), (0.02, 0.9)),
    ],
    "flower": [
        [(0, 0), (0, 0.5)],
        _circle(0, 0.7, 0.11),
        *(
            _circle(0.2 * math.sin(i * math.pi / 3), 0.7 + 0.2 * math.cos(i * math.pi / 3), 0.1)
            for i in range(6)
        ),
    ],
}


def draw(doodle: Doodle, side: int) -> Image.Image:
    """The drawing, RGB, black on white, `side` pixels."""
    large = SHARP * side
    page = Image.new("L", (large, large), "white")
    pen, width = ImageDraw.Draw(page), max(1, round(doodle.pen * large))
    if doodle.horizon is not None:
        y = doodle.horizon * large
        pen.line([(0, y), (large, y)], fill="black", width=width)
    for thing in doodle.things:
        for line in LINES[thing.kind]:
            points = [
                (large * (thing.x + thing.height * u), large * (thing.y - thing.height * v))
                for u, v in line
            ]
            pen.line(points, fill="black", width=width, joint="curve")
    return page.resize((side, side), Image.Resampling.BOX).convert("RGB")


def sample(rng: random.Random) -> Doodle:
    """One or two things, of pairs that training knows, where people put them."""
    count = rng.choice((1, 1, 2))
    kinds = rng.sample(THINGS, count)
    places = (
        [rng.uniform(0.3, 0.7)] if count == 1 else [rng.uniform(0.2, 0.3), rng.uniform(0.7, 0.8)]
    )
    things, words = [], []
    for kind, x in zip(kinds, places, strict=True):
        colour = rng.choice([c for c in COLOURS if (c, kind) not in UNSEEN_PAIRS])
        height = rng.uniform(*HEIGHT["big" if rng.random() < 0.7 else "small"])
        y = rng.uniform(0.68, 0.86)
        things.append(Doodled(kind, colour, round(x, 3), round(y, 3), round(height, 3)))
        article = "an" if colour[0] in "aeiou" else "a"
        words.append(f"{article} {colour} {WORDS['things'][kind][0]}")
    horizon = round(rng.uniform(0.44, 0.5), 3) if rng.random() < 0.25 else None
    return Doodle(" and ".join(words), tuple(things), horizon, round(rng.uniform(0.008, 0.02), 4))


def doodles() -> list[Doodle]:
    """The frozen sixty."""
    rows = [json.loads(line) for line in FROZEN.read_text().splitlines()]
    return [Doodle(**{**row, "things": tuple(Doodled(**t) for t in row["things"])}) for row in rows]


def write_frozen(path: Path) -> None:
    """How their file was made."""
    rng = random.Random(SEED)
    path.write_text("".join(json.dumps(asdict(sample(rng))) + "\n" for _ in range(COUNT)))
