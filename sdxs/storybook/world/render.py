"""Scenes to pictures: a batched signed-distance renderer, deterministic, on any device.

Things are drawn on patches at twice the resolution, averaged down, and laid over the backdrop
from the farthest to the nearest. Also yields the exact depth and what of each thing is seen.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.world import backdrop
from sdxs.storybook.world.backdrop import column
from sdxs.storybook.world.scenes import Scene, Thing
from sdxs.storybook.world.things import DRAWINGS, Patch

PALETTE = {
    "red": (0.86, 0.13, 0.14),
    "orange": (0.97, 0.49, 0.08),
    "yellow": (0.98, 0.83, 0.12),
    "green": (0.16, 0.62, 0.24),
    "blue": (0.13, 0.34, 0.88),
    "purple": (0.52, 0.20, 0.78),
    "pink": (0.98, 0.50, 0.70),
    "white": (0.96, 0.96, 0.96),
}
REACH = 0.62  # a patch's side, in picture sides: a big thing and some air


@dataclass(frozen=True)
class Render:
    """A batch of drawn scenes.

    picture: (B, 3, R, R) in [-1, 1]. depth: (B, 1, R, R), 0 far to 1 near.
    seen: (B, 2, R, R) in [0, 1], where thing i of the scene is seen; 0 if there is none.
    visible: (B, 2), the share of each thing that nothing hides; 1 if there is none.
    """

    picture: Tensor
    depth: Tensor
    seen: Tensor
    visible: Tensor


def render(
    scenes: list[Scene], resolution: int = 128, device: str | torch.device = "cpu"
) -> Render:
    """Draw scenes. The same scenes give the same picture, whatever else is in the batch."""
    count, size = len(scenes), resolution
    line = (torch.arange(size, device=device) + 0.5) / size
    x, y = line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)
    horizon = column((s.horizon for s in scenes), x)
    chances = [random.Random(s.nuisance) for s in scenes]
    chance = torch.tensor([[r.random() for _ in range(backdrop.CHANCES)] for r in chances])
    skies, grounds = [s.sky for s in scenes], [s.ground for s in scenes]
    picture, depth = backdrop.draw(skies, grounds, horizon, chance.to(device), x, y)
    picture = picture * (1 - _shadows(scenes, x, y))

    seen = picture.new_zeros(count, 2, size, size)
    whole = picture.new_ones(count, 2)
    patches = _draw_things(scenes, size, device)
    for (index, slot), (rgb, alpha, left, top) in sorted(patches.items()):
        thing, scene = scenes[index].things[slot], scenes[index]
        rows, patch_rows = _overlap(top, alpha.shape[-2], size)
        columns, patch_columns = _overlap(left, alpha.shape[-1], size)
        whole[index, slot] = alpha.sum()
        rgb, alpha = (part[:, patch_rows, patch_columns] for part in (rgb, alpha))
        spot = (index, slice(None), rows, columns)
        near = 0.1 + 0.9 * (thing.y - scene.horizon) / (1 - scene.horizon)
        picture[spot] += rgb - alpha * picture[spot]  # rgb is premultiplied
        depth[spot] += alpha * (near - depth[spot])
        seen[spot] *= 1 - alpha
        seen[index, slot, rows, columns] = alpha[0]
    visible = (seen.sum((2, 3)) / whole).where(whole > 1, 1.0)
    return Render(picture * 2 - 1, depth, seen, visible)


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Where a patch's span lies in the picture, and which part of the patch that is."""
    first, last = max(start, 0), min(start + length, size)
    return slice(first, last), slice(first - start, last - start)


def _shadows(scenes: list[Scene], x: Tensor, y: Tensor) -> Tensor:
    dark = torch.zeros(len(scenes), 1, x.shape[-1], x.shape[-1], device=x.device)
    for slot in (0, 1):
        things = [s.things[slot] if slot < len(s.things) else None for s in scenes]
        numbers = [(t.x, t.y, t.height) if t else (0.5, 9.0, 0.1) for t in things]
        columns = torch.tensor(numbers, device=x.device).view(-1, 3, 1, 1, 1).unbind(1)
        dark = torch.maximum(dark, backdrop.shadow(x, y, *columns))
    return dark


def _draw_things(
    scenes: list[Scene], size: int, device: str | torch.device
) -> dict[tuple[int, int], tuple[Tensor, Tensor, int, int]]:
    """Draw every thing, kind by kind. (scene, slot) -> premultiplied rgb, alpha, left, top."""
    by_kind: dict[str, list[tuple[int, int, Thing]]] = {}
    for index, scene in enumerate(scenes):
        for slot, thing in enumerate(scene.things):
            by_kind.setdefault(thing.kind, []).append((index, slot, thing))
    patches = {}
    side = round(size * REACH)
    fine = (torch.arange(2 * side, device=device) + 0.5) / 2
    for kind, members in by_kind.items():
        things = [thing for _, _, thing in members]
        lefts = [int(t.x * size) - side // 2 for t in things]
        tops = [int(t.y * size) - round(side * 0.88) for t in things]
        height = column((t.height * size for t in things), fine)
        right = column((left - t.x * size for left, t in zip(lefts, things, strict=True)), fine)
        up = column((t.y * size - top for top, t in zip(tops, things, strict=True)), fine)
        u, v = torch.broadcast_tensors(
            (fine.view(1, 1, 1, -1) + right) / height, (up - fine.view(1, 1, -1, 1)) / height
        )
        skies = [scenes[index].sky for index, _, _ in members]
        patch = Patch(
            u=u,
            v=v,
            pixel=0.5 / height,
            colour=backdrop.table(PALETTE, [t.colour for t in things], fine),
            dim=column((backdrop.THING_LIGHT[sky] for sky in skies), fine),
            lamps=backdrop.flags("night", skies, fine),
            rgb=torch.zeros(len(things), 3, 2 * side, 2 * side, device=device),
            alpha=torch.zeros(len(things), 1, 2 * side, 2 * side, device=device),
        )
        DRAWINGS[kind](patch)
        alpha = F.avg_pool2d(patch.alpha, 2)
        rgb = F.avg_pool2d(patch.rgb * patch.alpha, 2)
        for i, (index, slot, _) in enumerate(members):
            patches[index, slot] = (rgb[i], alpha[i], lefts[i], tops[i])
    return patches
