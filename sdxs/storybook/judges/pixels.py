"""A judge that learns nothing, to cross-check the evaluator on things and colours, to count things
and to see whether each is of one colour.

Analysis by synthesis: what no backdrop of the renderer explains must be a thing. Each kind, colour
and height is drawn and laid over the picture wherever it can stand; the one that explains most is
seen, and the rest is searched again.
"""

import functools
import random
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.judges.evaluator import Evaluator, Sight, check
from sdxs.storybook.judges.painters import Painter, painted
from sdxs.storybook.judges.tallies import Found, mean, rounded, share, tally
from sdxs.storybook.world.captions import Caption
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SKIES, THINGS, Scene, Thing

JUDGED = ("thing", "colour")
GUARDED = {"things": "share", "purity": "mean"}  # their right number; how much in one colour
GRID = 64  # pixels of a side: half the resolution that pictures have
UP, DOWN, ASIDE = 34, 4, 18  # a template's pixels above, below and beside the foot of its thing
HEIGHTS = (0.24, 0.27, 0.415, 0.455)  # two small, two big
FOOT_Y, FOOT_X = (38, 62), (8, 56)  # where things can stand
VIEWS = 24  # backdrops of each sky and ground
NOISE = 0.1  # how far a colour in [0, 1] may be off
CAP = 9.0  # of a misfit: a pixel three times that far off is simply wrong
NEAR = 2  # pixels that a place found in half the resolution may be off
FIRMEST = 3  # colours of each kind that are looked at closely
ROUNDS = 3  # things looked for: one more than there should be
LEAST = 60.0  # a gain: seven pixels that are simply wrong; what is less may be a shadow
SHOWN = 0.4  # of a thing is visible, as the renderer sees to
TELLABLE = 0.1  # deviation of a pixel over all colours from which on it tells a thing's colour
RIVAL = 0.9  # of the best gain and a kind is as likely; on renders rivals stay below 0.82


def misfit(a: Tensor, b: Tensor) -> Tensor:
    """How unlike colours (..., 3, H, W) in [0, 1] are, 1 where they differ by NOISE. (..., H, W)"""
    return (a - b).square().sum(-3) / NOISE**2


def shrink(picture: Tensor) -> Tensor:
    """(B, 3, R, R) in [-1, 1] to (B, 3, GRID, GRID) in [0, 1]."""
    return (F.adaptive_avg_pool2d(picture, GRID) + 1) / 2


@functools.cache
def backdrops() -> Tensor:
    """Empty scenes under every sky on every ground: (12, VIEWS, 3, GRID, GRID) in [0, 1]."""
    rng, drawn = random.Random(0), []
    for sky, ground in product(SKIES, GROUNDS):
        chances = [(rng.uniform(0.42, 0.50), rng.getrandbits(32)) for _ in range(VIEWS)]
        empty = [Scene(sky, ground, "alone", (), *chance) for chance in chances]
        drawn.append(shrink(render(empty).picture))
    return torch.stack(drawn)


@functools.cache
def templates(sky: str) -> Tensor:
    """Heights times kinds times colours: (4 * 10 * 8, 4, 38, 36), premultiplied rgb and alpha."""
    y, x, drawn = 52, GRID // 2, []
    for height, kind in product(HEIGHTS, THINGS):
        things = [Thing(kind, colour, "", x / GRID, y / GRID, height) for colour in COLOURS]
        result = render([Scene(sky, "grass", "alone", (thing,), 0.45, 0) for thing in things])
        inside = (result.seen[:, :1] > 0.99).float()  # no backdrop shines through
        parts = torch.cat((inside * (result.picture + 1) / 2, inside), 1)
        drawn.append(F.avg_pool2d(parts, 2)[..., y - UP : y + DOWN, x - ASIDE : x + ASIDE])
    return torch.cat(drawn)


def kernels(template: Tensor) -> Tensor:
    """Templates as a convolution over `evidence` that sums the gain, only without its cap."""
    part = F.avg_pool2d(template, 2)
    colour, alpha = part[:, :3], part[:, 3:]
    squared = colour.square().sum(1, keepdim=True) / alpha.clamp(min=1e-3)
    return torch.cat((alpha, 2 * colour / NOISE**2, -squared / NOISE**2), 1)


@functools.cache
def searched(sky: str) -> Tensor:
    """All templates of a sky as such kernels."""
    return kernels(templates(sky))


def evidence(grid: Tensor, strange: Tensor, left: Tensor) -> Tensor:
    """What the gain |I - B|^2 - |I - T|^2 takes from the picture I. (B, 5, GRID/2, GRID/2)"""
    rest = strange - grid.square().sum(1, keepdim=True) / NOISE**2
    return F.avg_pool2d(left * torch.cat((rest, grid, torch.ones_like(left)), 1), 2)


def gain(patch: Tensor, template: Tensor) -> Tensor:
    """What templates (..., 4, h, w) explain of patches (..., 5, h, w) that no backdrop does.

    A patch holds colours, what of them is left to explain, and the backdrops' misfit there.
    """
    alpha = template[..., 3, :, :]
    colour = template[..., :3, :, :] / alpha.unsqueeze(-3).clamp(min=1e-3)
    wrong = misfit(patch[..., :3, :, :], colour).clamp(max=CAP) * patch[..., 3, :, :]
    return (alpha * (patch[..., 4, :, :] - wrong)).sum((-1, -2))


def paste(template: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Templates (B, 4, 38, 36), their feet at row y (B,) and column x of (B, 4, GRID, GRID)."""
    canvas = template.new_zeros(len(template), 4, GRID + UP + DOWN, GRID + 2 * ASIDE)
    for i, (top, side) in enumerate(zip(y.tolist(), x.tolist(), strict=True)):
        canvas[i, :, top : top + UP + DOWN, side : side + 2 * ASIDE] = template[i]
    return canvas[:, :, UP : UP + GRID, ASIDE : ASIDE + GRID]


def purity(
    grid: Tensor, every: Tensor, colour: Tensor, left: Tensor, y: Tensor, x: Tensor
) -> Tensor:
    """Of things at y, x (B,) the share of pixels that are most like their own colour (B,).

    grid: (B, 3, GRID, GRID); every: the templates of each in all colours, (B, 8, 4, 38, 36); left:
    (B, 1, GRID, GRID), what is not another thing's.
    """
    count = every.shape[1]
    laid = paste(every.flatten(0, 1), y.repeat_interleave(count), x.repeat_interleave(count))
    laid = laid.unflatten(0, (-1, count))
    tones, inside = laid[:, :, :3] / laid[:, :, 3:].clamp(min=1e-3), laid[:, :1, 3] > 0.9
    tells = tones.std(1).mean(1, keepdim=True) > TELLABLE
    counted = inside & tells & (left > 0.5)  # (B, 1, GRID, GRID)
    own = misfit(grid[:, None], tones).argmin(1, keepdim=True) == colour.view(-1, 1, 1, 1)
    return (own & counted).sum((1, 2, 3)) / counted.sum((1, 2, 3)).clamp(min=1)


class Inspected(NamedTuple):
    """sight: without features. things (B,): how many are found, at most ROUNDS. purity (B,): of
    those, the mean share of the pixels that are in the thing's own colour; NaN without a thing."""

    sight: Sight
    things: Tensor
    purity: Tensor


class PixelJudge:
    """Pictures (B, 3, R, R) in [-1, 1], R at least GRID, to a `Sight` without features."""

    def __init__(self) -> None:
        self.backdrops = backdrops()

    def __call__(self, picture: Tensor) -> Sight:
        return self.inspect(picture).sight

    def inspect(self, picture: Tensor) -> Inspected:
        """The same, and how many things there are, and how much in one colour they are."""
        grid = shrink(picture)
        views = self.backdrops.flatten(0, 1).flatten(1)
        scenery = torch.cdist(grid.flatten(1), views, p=1).argmin(1) // VIEWS  # the most similar
        strange = misfit(grid[:, None], self.backdrops[scenery]).amin(1)[:, None]
        skies, grounds = scenery // len(GROUNDS), scenery % len(GROUNDS)
        rows = {sky: (skies == i).nonzero().flatten() for i, sky in enumerate(SKIES)}
        looks = [self.look(sky, grid[i], strange[i]) for sky, i in rows.items() if len(i)]
        order = torch.cat(list(rows.values())).argsort()
        parts = (torch.cat(field)[order] for field in zip(*looks, strict=True))
        present, colour, size, where, found, pure = parts
        sky, ground = F.one_hot(skies, len(SKIES)), F.one_hot(grounds, len(GROUNDS))
        sight = Sight(present, colour, size, where, sky, ground, grid.new_zeros(len(grid), 0))
        things = found.sum(1)
        return Inspected(sight, things, torch.where(found, pure, 0).sum(1) / things)

    def look(self, sky: str, grid: Tensor, strange: Tensor) -> tuple[Tensor, ...]:
        """Present, colour, size and where under one sky, and of each round whether a thing is found
        and how pure it is, (B, ROUNDS); strange (B, 1, ...): backdrops' misfit."""
        left, rounds, things = torch.ones_like(strange), [], []
        for _ in range(ROUNDS):
            fields, thing, left = self.find(sky, grid, strange, left)
            rounds.append(fields)
            things.append(thing)
        best = torch.stack([present for present, *_ in rounds]).argmax(0)  # (B, K)
        at = (best, torch.arange(len(grid))[:, None], torch.arange(len(THINGS)))
        best_fields = [torch.stack(field)[at] for field in zip(*rounds, strict=True)]
        return *best_fields, *(torch.stack(part, 1) for part in zip(*things, strict=True))

    def find(
        self, sky: str, grid: Tensor, strange: Tensor, left: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor], Tensor]:
        """How well each kind explains what is left; whether the best one is a thing, and how pure;
        and what it leaves."""
        batch, kinds = torch.arange(len(grid)), torch.arange(len(THINGS))
        height, colour, y, x = self.places(sky, evidence(grid, strange, left))
        known = templates(sky).unflatten(0, (len(HEIGHTS), len(THINGS), -1))
        drawn = known[height, kinds[:, None], colour]  # (B, K, FIRMEST, 4, 38, 36)
        y, x, gains = adjust(torch.cat((grid, left, left * strange.clamp(max=CAP)), 1), drawn, y, x)

        most, pick = gains.max(-1)
        own = (batch[:, None], kinds, pick)
        height, y, x, drawn = height[own], y[own], x[own], drawn[own]  # (B, K, ...)
        top, kind = most.max(1)
        winner = drawn[batch, kind]
        laid = paste(winner, y[batch, kind], x[batch, kind])
        inside = laid[:, 3:]
        shown = (inside * left).sum((1, 2, 3)) / winner[:, 3].sum((1, 2))
        found = (top > LEAST) & (shown >= SHOWN)
        present = (most / top[:, None] - RIVAL).where(found[:, None], -1.0)
        every = known[height[batch, kind], kind]  # in all colours, (B, 8, 4, 38, 36)
        pure = purity(grid, every, colour[own][batch, kind], left, y[batch, kind], x[batch, kind])
        tones = gains.new_full((*most.shape, len(COLOURS)), -torch.inf).scatter(2, colour, gains)
        size = F.one_hot((height > 1).long(), 2)
        wrong = misfit(grid, laid[:, :3] / inside.clamp(min=1e-3))[:, None]
        explained = ((inside > 0.3) & (wrong < CAP)).float()
        left = left * (1 - F.max_pool2d(explained, 5, 1, 2))  # its rim goes, too
        fields = (present, tones, size, torch.stack((x, y), -1) / GRID)
        return fields, (found, pure), left

    def places(self, sky: str, seen: Tensor) -> tuple[Tensor, ...]:
        """Height, colour, y, x of the FIRMEST colours of each kind: (B, K, FIRMEST) each."""
        (top, bottom), (start, end) = ((a // 2, b // 2) for a, b in (FOOT_Y, FOOT_X))
        padded = F.pad(seen, (ASIDE // 2, ASIDE // 2, UP // 2, DOWN // 2))
        around = padded[:, :, top : bottom + (UP + DOWN) // 2 - 1, start : end + ASIDE - 1]
        gains = F.conv2d(around, searched(sky))  # (B, heights * kinds * colours, y, x)
        shape = (len(HEIGHTS), *gains.shape[2:])
        gains = gains.unflatten(1, (len(HEIGHTS), -1)).movedim(1, 2).flatten(2)
        best, place = (part.unflatten(1, (len(THINGS), -1)) for part in gains.max(-1))
        colour = best.topk(FIRMEST, -1).indices
        height, y, x = torch.unravel_index(place.gather(-1, colour), shape)
        return height, colour, FOOT_Y[0] + 2 * y, FOOT_X[0] + 2 * x


def adjust(scene: Tensor, drawn: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best places within NEAR of y, x (B, K, F), and the gains there.

    scene: (B, 5, GRID, GRID), see `gain`; drawn: (B, K, F, 4, 38, 36).
    """
    padded = F.pad(scene, (ASIDE + NEAR, ASIDE + NEAR, UP + NEAR, DOWN + NEAR))
    patches = padded.unfold(2, UP + DOWN, 1).unfold(3, 2 * ASIDE, 1).movedim(1, 3)
    batch, steps = torch.arange(len(scene))[:, None, None], range(2 * NEAR + 1)
    gains = [gain(patches[batch, y + dy, x + dx], drawn) for dy, dx in product(steps, steps)]
    best, step = torch.stack(gains).max(0)
    return y + step // len(steps) - NEAR, x + step % len(steps) - NEAR, best


@torch.no_grad()
def compare(
    paint: Painter, evaluator: Evaluator, pixels: PixelJudge, captions: list[Caption], title: str
) -> dict[str, dict[str, float]]:
    """Show both judges the same pictures; print and return shares right and agreement, and of the
    second one the share with the right number of things, and how pure those are."""
    results: tuple[list[Found], list[Found], list[Found]] = ([], [], [])
    counted, pure = 0, []
    for some, pictures in painted(paint, captions, title):
        seen = pixels.inspect(pictures)
        wanted = torch.tensor([len(caption.things) for caption in some])
        counted += int((seen.things == wanted).sum())
        pure += seen.purity[seen.things > 0].tolist()
        ours, theirs = (check(sight, some) for sight in (evaluator(pictures), seen.sight))
        same = [
            [(name, a == b) for (name, a), (_, b) in zip(*rows, strict=True)]
            for rows in zip(ours, theirs, strict=True)
        ]
        for every, rows in zip(results, (ours, theirs, same), strict=True):
            every.extend(rows)
    tallies, table = [tally(rows) for rows in results], {}
    print(f"\n{title:10}{'evaluator':>10}{'pixels':>8}{'points':>8}{'agree':>8}{'n':>7}")
    for name in JUDGED:
        count = tallies[0][name][1]
        first, second, agree = (scores[name][0] / max(1, count) for scores in tallies)
        points = 100 * (second - first)
        print(f"{name:10}{first:10.1%}{second:8.1%}{points:+8.1f}{agree:8.1%}{count:7d}")
        table[name] = rounded({"evaluator": first, "pixels": second, "agree": agree, "n": count})
    table |= {"things": share(counted, len(captions)), "purity": mean(pure or [0.0])}
    for name, kind in GUARDED.items():
        print(f"{name:10}{table[name][kind]:18.1%}")
    return table
