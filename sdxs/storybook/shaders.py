"""Other ways to draw the same scene: what a style is to learn, and what tells whether it did.

Each shader turns a `Render` into pictures (B, 3, R, R) in [-1, 1]: same things, places and hues,
other hand. The base model never sees one. Pure functions, on any device, at any resolution.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.render import Render

INK = (0.13, 0.10, 0.20)
PAPER = (0.97, 0.92, 0.80)
GREY = (0.30, 0.59, 0.11)  # weights of red, green and blue in how light a colour is


def anime(render: Render) -> Tensor:
    """Cel shading in three flat tones, ink outlines, pale backdrops, a sky in halftone dots."""
    picture = _unit(render)
    things = _things(render)
    flat = _in_tones(picture, 3)
    vivid = _saturated(flat, 1.25) * 0.94 + 0.06
    pale = flat * 0.62 + 0.38
    sky = (render.depth < 0.02).float() * (1 - things)
    dots = _dots(picture, period=8) * sky
    pale = pale + dots * (0.80 * pale - pale) * 1.0
    drawn = pale + things * (vivid - pale)
    return _inked(drawn, _outlines(render, 1.6), INK) * 2 - 1


def woodcut(render: Render) -> Tensor:
    """A hand-coloured print: cream paper, thick dark lines, shadows cut in slanting strokes."""
    picture = _unit(render)
    things = _things(render)
    flat = _in_tones(picture, 4)
    muted = _saturated(flat, 0.75)
    paper = _colour(PAPER, picture)
    printed = paper * (0.25 + 0.75 * muted)
    coloured = printed + things * (paper * _saturated(flat, 1.1) - printed)
    strokes = _strokes(picture, period=6)
    inked = _inked(coloured, strokes * (0.75 - 0.35 * things), INK)
    return _inked(inked, _outlines(render, 2.4), INK) * 2 - 1


def _unit(render: Render) -> Tensor:
    return (render.picture + 1) / 2


def _things(render: Render) -> Tensor:
    """(B, 1, R, R): where any thing is seen."""
    return render.seen.sum(1, keepdim=True).clamp(0, 1)


def _colour(rgb: tuple[float, float, float], like: Tensor) -> Tensor:
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
    half = period * 0.42 * (0.62 - _grey(picture)).clamp(min=0) / 0.62
    return ((half - away + 0.5).clamp(0, 1)) * (half > 0.35)


def _outlines(render: Render, width: float) -> Tensor:
    """(B, 1, R, R) in [0, 1]: the rims of things and of ridges, and sharp edges inside things."""
    size = render.picture.shape[-1]
    reach = max(1, round(width * size / 128 / 2))
    rims = torch.zeros_like(render.depth)
    for mask in (render.seen[:, :1], render.seen[:, 1:], (render.depth > 0.02).float()):
        rims = torch.maximum(rims, _spread(mask, reach) + _spread(-mask, reach))
    picture = _unit(render)
    edges = (_spread(picture, 1) + _spread(-picture, 1)).amax(1, keepdim=True)
    inside = _things(render) * ((edges - 0.30) / 0.12).clamp(0, 1)
    return torch.maximum(rims.clamp(0, 1), 0.7 * inside)


def _spread(field: Tensor, reach: int) -> Tensor:
    return F.max_pool2d(field, 2 * reach + 1, 1, reach)


def _inked(picture: Tensor, where: Tensor, ink: tuple[float, float, float]) -> Tensor:
    return picture + where * (_colour(ink, picture) - picture)


SHADERS: dict[str, Callable[[Render], Tensor]] = {"anime": anime, "woodcut": woodcut}
