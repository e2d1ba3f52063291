"""Renders as the stages of pictures keep them, as bytes."""

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.storybook.world.artists import any_artist, redraw
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import Scene

NOISE = 0.08  # the most that `distorted` adds, of pictures in [-1, 1]


def to_bytes(pictures: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte()


def to_unit(pictures: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return pictures.float() / 127.5 - 1


def rendered(
    scenes: list[Scene], resolution: int, title: str = "", some: int = 32,
    device: torch.device | None = None,
) -> Iterator[Render]:  # fmt: skip
    """Render scenes, some at a time, on the CPU if nothing else is said; a title has a bar."""
    firsts = range(0, len(scenes), some)
    for i in tqdm(firsts, title, dynamic_ncols=True, mininterval=2, disable=not title):
        yield render(scenes[i : i + some], resolution, device or "cpu")


def draw_pictures(
    scenes: list[Scene], resolution: int, title: str, artists: random.Random | None = None
) -> Tensor:
    """Render scenes to bytes, by another artist every few if `artists` picks one. (N, 3, R, R)"""
    parts = []
    for drawn in rendered(scenes, resolution, title, 32 if artists is None else 8):
        picture = drawn.picture if artists is None else redraw(drawn, any_artist(artists))
        parts.append(to_bytes(picture))
    return torch.cat(parts)


def distorted(pictures: Tensor, blurred: float, generator: torch.Generator) -> Tensor:
    """A share of the pictures (B, C, H, W) blurred, noise on all: for who judges what is drawn."""
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    which, strength = (torch.rand(len(pictures), 1, 1, 1, generator=generator) for _ in range(2))
    noise = torch.randn(pictures.shape, generator=generator)
    return torch.where(which < blurred, soft, pictures) + NOISE * strength * noise
