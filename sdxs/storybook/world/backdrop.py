"""Sky and ground: what stands behind the things, drawn at the picture's own resolution.

Pure functions of batched tensors. x: (1, 1, 1, R) and y: (1, 1, R, 1) run from 0 to 1, y down.
`chance` (B, 1, 1, 1, K) holds uniform numbers for what no caption mentions.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from sdxs.storybook.world.scenes import GROUNDS, SKIES

# sky -> colour at the top, half way, at the horizon
SKY = {
    "day": ((0.22, 0.53, 0.92), (0.52, 0.77, 0.98), (0.86, 0.95, 1.0)),
    "sunset": ((0.34, 0.22, 0.50), (0.90, 0.44, 0.40), (1.0, 0.76, 0.42)),
    "night": ((0.04, 0.06, 0.20), (0.09, 0.12, 0.33), (0.22, 0.26, 0.50)),
}
# ground -> near, far, hills
GROUND = {
    "grass": ((0.36, 0.70, 0.25), (0.55, 0.82, 0.38), (0.30, 0.60, 0.36)),
    "sand": ((0.93, 0.77, 0.47), (0.98, 0.88, 0.63), (0.82, 0.62, 0.40)),
    "snow": ((0.90, 0.94, 1.0), (0.97, 0.98, 1.0), (0.68, 0.76, 0.90)),
    "sea": ((0.06, 0.36, 0.70), (0.30, 0.68, 0.88), (0.42, 0.60, 0.74)),
}
TINT = {"day": (1.0, 1.0, 1.0), "sunset": (0.98, 0.74, 0.62), "night": (0.44, 0.43, 0.64)}
SUNLIGHT = {"day": (1.0, 0.95, 0.62), "sunset": (1.0, 0.90, 0.52), "night": (0.99, 0.96, 0.82)}
CLOUD = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.70, 0.62), "night": (0.20, 0.23, 0.42)}
THING_LIGHT = {"day": 1.0, "sunset": 0.95, "night": 0.84}
HILL_HEIGHT = {"grass": 0.07, "sand": 0.05, "snow": 0.13, "sea": 0.0}

CHANCES = 64  # uniform numbers that one backdrop uses, see `draw`


def table(rows: Mapping[str, tuple[float, ...]], names: list[str], like: Tensor) -> Tensor:
    """Look a colour up for each picture. (B, 3, 1, 1)"""
    return torch.tensor([rows[name] for name in names], device=like.device).view(-1, 3, 1, 1)


def column(numbers: Iterable[float], like: Tensor) -> Tensor:
    """A number for each picture. (B, 1, 1, 1)"""
    return torch.tensor([*numbers], device=like.device).view(-1, 1, 1, 1)


def flags(of: str, names: list[str], like: Tensor) -> Tensor:
    """1 where the name is `of`. (B, 1, 1, 1)"""
    return column((float(name == of) for name in names), like)


def mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return a + share * (b - a)


def step(edge: Tensor, width: float) -> Tensor:
    """0 below -width/2, 1 above width/2, a straight ramp between."""
    return (edge / width + 0.5).clamp(0, 1)


def blob(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """A soft spot of height 1 around (0, 0)."""
    return torch.exp(-((x / rx) ** 2)) * torch.exp(-((y / ry) ** 2))  # separable, so cheap


def draw(
    skies: list[str], grounds: list[str], horizon: Tensor, chance: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Paint sky, hills and ground. horizon: (B, 1, 1, 1); chance: (B, CHANCES) in [0, 1).

    Returns the picture (B, 3, R, R) in [0, 1] and the depth (B, 1, R, R), 0 far to 1 near.
    """
    assert set(skies) <= set(SKIES) and set(grounds) <= set(GROUNDS)
    numbers = iter(chance[:, :, None, None, None].unbind(1))

    def pick(low: float, high: float) -> Tensor:  # (B, 1, 1, 1)
        return low + (high - low) * next(numbers)

    pixel = 1.0 / x.shape[-1]
    day, sunset, night = (flags(sky, skies, x) for sky in SKIES)
    sea = flags("sea", grounds, x)

    height = (y / horizon).clamp(0, 1)
    top, half, low = (table({k: v[i] for k, v in SKY.items()}, skies, x) for i in range(3))
    picture = mix(mix(top, half, (height * 2).clamp(max=1)), low, (height * 2 - 1).clamp(min=0))

    # sun or moon
    sx = pick(0.12, 0.88)
    sy = day * pick(0.08, 0.16) + sunset * (horizon - pick(0.02, 0.07)) + night * pick(0.09, 0.17)
    radius = day * 0.052 + sunset * 0.085 + night * 0.055
    away = ((x - sx) ** 2 + (y - sy) ** 2).sqrt()
    sunlight = table(SUNLIGHT, skies, x)
    glow = torch.exp(-((away / radius) ** 2) / 5)
    picture = mix(picture, sunlight, glow * (0.55 * day + 0.5 * sunset + 0.16 * night))
    bite = ((x - sx - 0.026) ** 2 + (y - sy + 0.014) ** 2).sqrt() - 0.048
    disc = step(radius - away, pixel) * (1 - night * step(-bite, pixel))
    stars = torch.zeros_like(away)
    for _ in range(9):
        stars = torch.maximum(stars, blob(x - pick(0.02, 0.98), y - pick(0.02, 0.38), 0.011, 0.011))
    stars = stars * step(away - 0.13, 0.04) * night
    picture = mix(picture, sunlight, torch.maximum(disc, 0.95 * stars))

    # clouds: three puffs on a flat base
    fluff = table(CLOUD, skies, x)
    for _ in range(3):
        cx, cy, size = pick(0.0, 1.0), pick(0.07, 0.26), pick(0.055, 0.085)
        puffs = torch.full_like(away, 9.0)
        for dx, dy, r in ((-1.25, 0.1, 0.75), (0.0, -0.25, 1.05), (1.2, 0.12, 0.7)):
            puff = ((x - cx - dx * size) ** 2 + (y - cy - dy * size) ** 2).sqrt() - r * size
            puffs = torch.minimum(puffs, puff)
        puffs = torch.maximum(puffs, y - cy - 0.45 * size)
        lit = 0.94 + 0.06 * step(cy - y, 0.1)
        cover = step(-puffs, 2 * pixel) * (0.92 - 0.25 * night)
        picture = mix(picture, fluff * lit, cover)

    # hills, the farther row paler
    tint = table(TINT, skies, x)
    near, far, hills = (
        table({k: v[i] for k, v in GROUND.items()}, grounds, x) * tint for i in range(3)
    )
    depth = torch.zeros_like(away)
    rise = column((HILL_HEIGHT[ground] for ground in grounds), x)
    peaks = flags("snow", grounds, x)
    for row, share in ((1.0, 0.45), (0.55, 0.0)):
        wave = 0.5 + 0.30 * torch.sin(x * pick(5, 8) + pick(0, 6.28))
        wave = wave + 0.20 * torch.sin(x * pick(10, 15) + pick(0, 6.28))
        phase = torch.remainder(x * pick(2.2, 3.2) + pick(0, 1), 1.0)
        jagged = 1 - (2 * phase - 1).abs()
        ridge = horizon - rise * row * mix(wave, jagged, 0.75 * peaks)
        colour = mix(hills, low, torch.tensor(share, device=x.device))
        snowy = peaks * step(ridge + 0.035 - y, 0.02) * 0.85
        colour = mix(colour, (low * 0.25 + 0.75) * tint, snowy)
        cover = step(y - ridge, pixel) * (rise > 0)
        picture = mix(picture, colour, cover)
        depth = torch.maximum(depth, 0.05 * cover)

    # ground, with soft bands that widen towards the viewer
    nearness = ((y - horizon) / (1 - horizon)).clamp(0, 1)  # 0 at the horizon, 1 at the bottom
    colour = mix(far, near, nearness**0.7)
    far_off = 1 / (nearness + 0.16)
    bend = 0.5 * torch.sin(x * pick(4, 7) + pick(0, 6.28))
    bands = torch.sin(far_off * pick(2.4, 3.4) + bend + pick(0, 6.28))
    ripple = torch.sin(far_off * 8 + 2.6 * torch.sin(x * 9 + pick(0, 6.28)) + x * pick(-6, 6))
    strength = 0.035 + 0.02 * sea
    colour = colour * (1 + strength * bands + 0.05 * sea * ripple * (1 - 0.4 * nearness))
    shine = blob(x - sx, torch.zeros_like(y), 0.05 + 0.10 * nearness, 1.0)
    shine = shine * (0.55 + 0.45 * torch.sin(far_off * 13 + 3 * torch.sin(x * 14)))
    shine = shine * sea * (0.55 * sunset + 0.30 * night + 0.18 * day) * (1 - 0.75 * nearness)
    colour = mix(colour, sunlight, shine.clamp(0, 1))
    cover = step(y - horizon, pixel)
    picture = mix(picture, colour, cover)
    depth = mix(depth, 0.1 + 0.9 * nearness, cover)
    return picture.clamp(0, 1), depth


def shadow(x: Tensor, y: Tensor, thing_x: Tensor, thing_y: Tensor, height: Tensor) -> Tensor:
    """How dark the ground is below a thing: contact and cast shadow. (B, 1, R, R) in [0, 1]"""
    contact = blob(x - thing_x, y - thing_y, 0.36 * height, 0.06 * height)
    cast = blob(
        x - thing_x - 0.20 * height, y - thing_y + 0.01 * height, 0.50 * height, 0.09 * height
    )
    return (0.45 * contact + 0.38 * cast).clamp(0, 1)
