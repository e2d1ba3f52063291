"""Artists that draw the same scene in other ways: what a style is to learn, and is judged by.

An artist turns a `Render` into pictures (B, 3, R, R) in [-1, 1]: the same things in the same
places, in the same hues. The base model's U-Net never sees one; the autoencoder sees many, made up
at random (`any_artist`), as Stable Diffusion's has seen pictures of every kind. Pure functions, on
any device, at any resolution.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.world.render import Render

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]
GREY: Colour = (0.30, 0.59, 0.11)  # how much each adds to how light a colour is
WHITE: Colour = (1.0, 1.0, 1.0)
PATTERNS = ("none", "dots", "strokes")
DARK = 0.62  # how light a colour is from which on there are no slanting strokes
THIN = 0.6  # half the width of a stroke where it is light, in pixels of a picture 128 wide


@dataclass(frozen=True)
class Artist:
    """How an artist draws. Lengths are pixels of a picture 128 wide.

    tones: how many steps light has. vivid, dull: saturation of the things, of what is behind them.
    pale: how much white is mixed in behind them. paper: what it is drawn on. ink: of `outline`, the
    width of the lines around things and ridges, and of the pattern: "dots" in the sky, or "strokes"
    where it is dark and short level ones where the ground is light, one in `period`, as dense as
    `density`.
    """

    tones: int
    vivid: float = 1.0
    dull: float = 1.0
    pale: float = 0.0
    paper: Colour = WHITE
    ink: Colour = (0.13, 0.10, 0.20)
    outline: float = 0.0
    pattern: str = "none"
    period: float = 8.0
    density: float = 0.5


# Cel shading over pale skies in halftone; a hand-coloured print, its shadows cut in strokes.
ARTISTS: dict[str, Artist] = {
    "anime": Artist(3, vivid=1.25, pale=0.38, outline=1.6, pattern="dots", density=0.25),
    "woodcut": Artist(
        4, vivid=1.1, dull=0.75, paper=(0.97, 0.92, 0.80), outline=2.4, pattern="strokes",
        period=6, density=0.75,
    ),
}  # fmt: skip


def any_artist(rng: random.Random) -> Artist:
    """An artist that nobody named."""
    return Artist(
        tones=rng.choice((2, 3, 4, 6, 12)),
        vivid=rng.uniform(0.5, 1.4),
        dull=rng.uniform(0.3, 1.3),
        pale=rng.choice((0.0, rng.uniform(0, 0.6))),
        paper=rng.choice((WHITE, _tint(rng, 0.75))),
        ink=rng.choice(((0.0, 0.0, 0.0), _tint(rng, 0.0, 0.4))),
        outline=rng.choice((0.0, rng.uniform(1.0, 3.5))),
        pattern=rng.choice(PATTERNS),
        period=rng.uniform(5, 11),
        density=rng.uniform(0.2, 0.9),
    )


def _tint(rng: random.Random, low: float, high: float = 1.0) -> Colour:
    return rng.uniform(low, high), rng.uniform(low, high), rng.uniform(low, high)


def redraw(render: Render, artist: Artist | None) -> Tensor:
    """What an artist makes of a render; None leaves it as it is."""
    if artist is None:
        return render.picture
    picture, things = (render.picture + 1) / 2, _things(render)
    flat = _in_tones(picture, artist.tones)
    behind = _saturated(flat, artist.dull)
    behind = behind + artist.pale * (1 - behind)
    drawn = behind + things * (_saturated(flat, artist.vivid) - behind)
    drawn = drawn * _colour(artist.paper, picture)
    if artist.pattern == "dots":
        sky = (render.depth < 0.02).float() * (1 - things)
        drawn = _inked(drawn, artist.density * sky * _dots(picture, artist.period), artist.ink)
    elif artist.pattern == "strokes":
        strength = artist.density * (1 - 0.5 * things)
        drawn = _inked(drawn, strength * _strokes(picture, artist.period), artist.ink)
        light = artist.density * (render.depth > 0.02) * (1 - things)
        drawn = _inked(drawn, light * _cuts(picture, artist.period), artist.ink)
    if artist.outline:
        drawn = _inked(drawn, _outlines(render, artist.outline), artist.ink)
    return drawn * 2 - 1


def _things(render: Render) -> Tensor:
    """(B, 1, R, R): where any thing is seen."""
    return render.seen.sum(1, keepdim=True).clamp(0, 1)


def _colour(rgb: Colour, like: Tensor) -> Tensor:
    return torch.tensor(rgb, device=like.device).view(1, 3, 1, 1)


def _grey(picture: Tensor) -> Tensor:
    return (picture * _colour(GREY, picture)).sum(1, keepdim=True)


def _in_tones(picture: Tensor, tones: int) -> Tensor:
    """Colours whose value takes few steps; the hue stays."""
    value = picture.amax(1, keepdim=True).clamp(min=1e-3)
    steps = ((value * tones).ceil() / tones).clamp(min=1 / tones)
    return (picture * (0.25 + 0.75 * steps / value)).clamp(0, 1)


def _saturated(picture: Tensor, factor: float) -> Tensor:
    grey = _grey(picture)
    return (grey + factor * (picture - grey)).clamp(0, 1)


def _grid(picture: Tensor) -> tuple[Tensor, Tensor]:
    """x and y in pixels of a picture 128 wide, (1, 1, 1, R) and (1, 1, R, 1)."""
    size = picture.shape[-1]
    line = (torch.arange(size, device=picture.device) + 0.5) * 128 / size
    return line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)


def _dots(picture: Tensor, period: float) -> Tensor:
    """Halftone: dots in a slanting grid, the larger the darker; 1 inside."""
    x, y = _grid(picture)
    a, b = (x + y) / 2**0.5 / period, (x - y) / 2**0.5 / period
    away = ((a - a.floor() - 0.5) ** 2 + (b - b.floor() - 0.5) ** 2).sqrt() * period
    radius = period * (0.16 + 0.24 * (1 - _grey(picture)))
    return (radius - away + 0.5).clamp(0, 1)


def _strokes(picture: Tensor, period: float) -> Tensor:
    """Slanting strokes, the wider the darker, none where it is light; 1 inside."""
    x, y = _grid(picture)
    across = (x + 0.6 * y) / 1.17 / period
    away = (across - across.floor() - 0.5).abs() * period
    half = period * 0.42 * (DARK - _grey(picture)).clamp(min=0) / DARK
    return ((half - away + 0.5).clamp(0, 1)) * (half > 0.35)


def _cuts(picture: Tensor, period: float) -> Tensor:
    """Short level strokes where it is too light for slanting ones, each row beside the last; 1
    inside."""
    x, y = _grid(picture)
    row = y / period
    along = x / (4 * period) + 0.37 * row.floor()
    short = ((along - along.floor() - 0.5).abs() < 0.33).to(picture.dtype)
    away = (row - row.floor() - 0.5).abs() * period
    light = ((_grey(picture) - DARK) / 0.1 + 1).clamp(0, 1)
    return (THIN - away + 0.5).clamp(0, 1) * short * light


def _outlines(render: Render, width: float) -> Tensor:
    """(B, 1, R, R) in [0, 1]: the rims of things and of ridges, and sharp edges inside things."""
    size = render.picture.shape[-1]
    reach = max(1, round(width * size / 128 / 2))
    rims = torch.zeros_like(render.depth)
    for mask in (render.seen[:, :1], render.seen[:, 1:], (render.depth > 0.02).float()):
        rims = torch.maximum(rims, _spread(mask, reach) + _spread(-mask, reach))
    picture = (render.picture + 1) / 2
    edges = (_spread(picture, 1) + _spread(-picture, 1)).amax(1, keepdim=True)
    inside = _things(render) * ((edges - 0.30) / 0.12).clamp(0, 1)
    return torch.maximum(rims.clamp(0, 1), 0.7 * inside)


def _spread(field: Tensor, reach: int) -> Tensor:
    return F.max_pool2d(field, 2 * reach + 1, 1, reach)


def _inked(picture: Tensor, where: Tensor, ink: Colour) -> Tensor:
    return picture + where * (_colour(ink, picture) - picture)
