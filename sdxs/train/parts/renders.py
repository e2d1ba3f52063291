"""Renders as the stages of pictures keep them, as bytes."""

import random

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.storybook.world.artists import any_artist, redraw
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import Scene


def to_bytes(pictures: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte()


def to_unit(pictures: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return pictures.float() / 127.5 - 1


def draw_pictures(
    scenes: list[Scene], resolution: int, title: str, artists: random.Random | None = None
) -> Tensor:
    """Render scenes to bytes, by another artist every few if `artists` picks one. (N, 3, R, R)"""
    parts = []
    some = 32 if artists is None else 8
    for i in tqdm(range(0, len(scenes), some), desc=title, dynamic_ncols=True, mininterval=2):
        drawn = render(scenes[i : i + some], resolution)
        picture = drawn.picture if artists is None else redraw(drawn, any_artist(artists))
        parts.append(to_bytes(picture))
    return torch.cat(parts)
