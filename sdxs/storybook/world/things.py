"""The ten things, as signed distances with soft shading.

Each drawing works in the thing's own frame: u to the right, v up, the ground at v = 0, the
height 1. It paints parts on a `Patch` and knows nothing of scenes or skies. Light comes from
the upper left. Shading scales a colour or mixes it with white, so that its hue stays.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CREAM = (0.97, 0.91, 0.78)
BROWN = (0.45, 0.27, 0.16)
LEAF = (0.22, 0.55, 0.24)


@dataclass
class Patch:
    """A square of pixels around each of n things.

    u, v: (n, 1, P, P), the thing's own frame. pixel: (n, 1, 1, 1), a pixel's width there.
    colour: (n, 3, 1, 1) in [0, 1]. dim: (n, 1, 1, 1), daylight is 1; lamps: the same shape,
    1 where they are lit.
    rgb: (n, 3, P, P), not premultiplied; alpha: (n, 1, P, P).
    """

    u: Tensor
    v: Tensor
    pixel: Tensor
    colour: Tensor
    dim: Tensor
    lamps: Tensor
    rgb: Tensor
    alpha: Tensor

    def paint(
        self,
        distance: Tensor,
        colour: Tensor,
        light: Tensor | float = 1.0,
        glow: Tensor | float = 0.0,
    ) -> None:
        """Lay a part over what is there: inside where `distance` is negative."""
        cover = (0.5 - distance / self.pixel).clamp(0, 1)
        part = shade(colour, light) * (self.dim + glow * (1 - self.dim))
        self.rgb = self.rgb + cover * (part - self.rgb)
        self.alpha = self.alpha + cover * (1 - self.alpha)

    def fixed(self, rgb: tuple[float, float, float]) -> Tensor:
        """A colour that does not depend on the thing's own. (1, 3, 1, 1)"""
        return torch.tensor(rgb, device=self.u.device).view(1, 3, 1, 1)


def shade(colour: Tensor, light: Tensor | float) -> Tensor:
    """Darker below light 1, mixed with white above it; the hue does not change."""
    light = torch.as_tensor(light, device=colour.device)
    return colour * light.clamp(max=1) + (1 - colour) * (light - 1).clamp(0, 1)


def circle(u: Tensor, v: Tensor, radius: float) -> Tensor:
    return (u * u + v * v).sqrt() - radius


def ellipse(u: Tensor, v: Tensor, ru: float, rv: float) -> Tensor:
    """A first-order distance to an ellipse: exact on the outline, where it matters."""
    scaled = ((u / ru) ** 2 + (v / rv) ** 2).sqrt()
    slope = ((u / ru**2) ** 2 + (v / rv**2) ** 2).sqrt().clamp(min=1e-4)
    return scaled * (scaled - 1) / slope


def box(u: Tensor, v: Tensor, half_u: float, half_v: float, rounding: float = 0.0) -> Tensor:
    a, b = u.abs() - half_u + rounding, v.abs() - half_v + rounding
    outside = (a.clamp(min=0) ** 2 + b.clamp(min=0) ** 2).sqrt()
    return outside + torch.maximum(a, b).clamp(max=0) - rounding


def convex(u: Tensor, v: Tensor, corners: list[tuple[float, float]]) -> Tensor:
    """Inside a convex polygon whose corners run counter-clockwise (v up)."""
    distance = torch.full_like(u, -math.inf)
    for (au, av), (bu, bv) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = math.hypot(bu - au, bv - av)
        side = ((bv - av) * (u - au) - (bu - au) * (v - av)) / length
        distance = torch.maximum(distance, side)
    return distance


def soft_union(a: Tensor, b: Tensor, k: float) -> Tensor:
    h = (0.5 + 0.5 * (b - a) / k).clamp(0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def round_light(u: Tensor, v: Tensor, radius: float, gloss: float = 0.55) -> Tensor:
    """Light on a sphere around (0, 0): diffuse, a bounce from the ground, a highlight."""
    nu, nv = u / radius, v / radius
    nz = (1 - nu * nu - nv * nv).clamp(min=0).sqrt()
    diffuse = (-0.45 * nu + 0.58 * nv + 0.68 * nz).clamp(min=0)
    highlight = (-0.27 * nu + 0.35 * nv + 0.90 * nz).clamp(0, 1) ** 26
    return 0.42 + 0.62 * diffuse + gloss * highlight


def ball(p: Patch) -> None:
    v = p.v - 0.46
    p.paint(circle(p.u, v, 0.46), p.colour, round_light(p.u, v, 0.46))


def cube(p: Patch) -> None:
    u, v = p.u + 0.09, p.v
    a, b, dx, dy = 0.36, 0.72, 0.20, 0.20  # half the front, its height, the depth's slant
    p.paint(convex(u, v, [(a, 0), (a + dx, dy), (a + dx, b + dy), (a, b)]), p.colour, 0.58)
    p.paint(convex(u, v, [(-a, b), (a, b), (a + dx, b + dy), (dx - a, b + dy)]), p.colour, 1.28)
    front = 0.98 - 0.22 * (u + a) / (2 * a) + 0.12 * (v / b - 0.5)
    p.paint(box(u, v - b / 2, a, b / 2), p.colour, front)


def cone(p: Patch) -> None:
    half = (0.43 * (1 - (p.v - 0.07) / 0.93)).clamp(min=0.01)
    across = (p.u / half).clamp(-1, 1)
    light = 0.45 + 0.62 * (-0.55 * across + 0.84 * (1 - across**2).sqrt()).clamp(min=0)
    light = light + 0.45 * torch.exp(-(((across + 0.42) / 0.16) ** 2)) * (p.v < 0.9)
    side = convex(p.u, p.v, [(-0.43, 0.07), (0.43, 0.07), (0.0, 1.0)])
    p.paint(torch.minimum(side, ellipse(p.u, p.v - 0.075, 0.43, 0.075)), p.colour, light)


def star(p: Patch) -> None:
    u, v = p.u, p.v - 0.47
    radius, angle = (u * u + v * v).sqrt(), torch.atan2(u, v)
    sector = 2 * math.pi / 5
    turn = torch.remainder(angle + sector / 2, sector) - sector / 2  # 0 at each tip
    a, b = radius * torch.cos(turn), radius * turn.sin().abs()
    tip, notch = 0.50, (0.23 * math.cos(sector / 2), 0.23 * math.sin(sector / 2))
    edge = (notch[0] - tip, notch[1])
    length = math.hypot(*edge)
    distance = (edge[1] * (a - tip) - edge[0] * b) / length - 0.035  # rounded a little
    facing = torch.sin(turn).sign() * torch.cos(angle - turn + 0.9)
    light = 0.90 + 0.17 * facing + 0.16 * (v - u) + 0.4 * torch.exp(-((radius / 0.10) ** 2))
    p.paint(distance, p.colour, light)


def heart(p: Patch) -> None:
    u, v = p.u.abs(), p.v
    lobe = circle(u - 0.235, v - 0.68, 0.262)
    tip = convex(p.u, v, [(0.0, -0.02), (0.455, 0.54), (0.30, 0.74), (-0.30, 0.74), (-0.455, 0.54)])
    distance = soft_union(lobe, tip, 0.03)
    puffed = (-distance / 0.22).clamp(0, 1).sqrt()
    light = 0.55 + 0.38 * puffed + 0.22 * (v - 0.5) - 0.20 * p.u
    light = light + 0.6 * torch.exp(-((p.u + 0.23) ** 2 + (v - 0.74) ** 2) / 0.012)
    p.paint(distance, p.colour, light)


def house(p: Patch) -> None:
    u, v = p.u, p.v
    p.paint(box(u - 0.24, v - 0.76, 0.065, 0.17, 0.01), p.colour, 0.50)
    p.paint(box(u, v - 0.28, 0.37, 0.28), p.colour, 1.02 - 0.25 * (u + 0.37) / 0.74)
    p.paint(box(u, v - 0.50, 0.37, 0.05), p.colour, 0.66)  # the roof's shadow on the wall
    roof = convex(u, v, [(-0.48, 0.52), (0.48, 0.52), (0.04, 0.97), (-0.04, 0.97)]) - 0.02
    p.paint(roof, p.colour, 0.62 - 0.16 * u + 0.25 * (v - 0.7))
    p.paint(box(u + 0.13, v - 0.16, 0.095, 0.17, 0.05), p.fixed(BROWN))
    lit, dull = p.fixed((1.0, 0.86, 0.40)), p.fixed((0.86, 0.93, 0.98))
    p.paint(box(u - 0.17, v - 0.25, 0.115, 0.105), p.fixed((0.98, 0.96, 0.92)))
    window = box(u - 0.17, v - 0.25, 0.085, 0.075)
    p.paint(window, dull + p.lamps * (lit - dull), glow=p.lamps)


def tree(p: Patch) -> None:
    trunk = convex(p.u, p.v, [(-0.085, 0), (0.085, 0), (0.055, 0.5), (-0.055, 0.5)])
    p.paint(trunk, p.fixed(BROWN), 1.0 - 2.2 * (p.u + 0.03).clamp(min=0))
    left, right = (p.u + 0.21, p.v - 0.50), (p.u - 0.21, p.v - 0.50)
    top = (p.u, p.v - 0.70)
    crown = soft_union(circle(*left, 0.22), circle(*right, 0.22), 0.05)
    crown = soft_union(crown, circle(*top, 0.29), 0.05)
    light = round_light(p.u, p.v - 0.62, 0.48, gloss=0.0) - 0.10
    for (u, v), radius in ((left, 0.20), (right, 0.20), (top, 0.26)):
        bump = torch.exp(-((u + 0.07) ** 2 + (v - 0.07) ** 2) / (0.35 * radius) ** 2 / 2)
        light = light + 0.24 * bump
    p.paint(crown, p.colour, light)


def mushroom(p: Patch) -> None:
    u, v = p.u, p.v
    waist = 0.13 + 0.05 * (1 - v / 0.5).clamp(0, 1)
    stem = torch.maximum(box(u / (waist / 0.15), v - 0.28, 0.15, 0.28, 0.06), -v)
    p.paint(stem, p.fixed(CREAM), 1.0 - 0.9 * (u + 0.02).clamp(min=0))
    p.paint(ellipse(u, v - 0.49, 0.30, 0.07), p.fixed(CREAM), 0.72)
    dome = torch.maximum(ellipse(u, v - 0.47, 0.49, 0.50), 0.47 - v)
    cap = torch.minimum(dome, ellipse(u, v - 0.48, 0.49, 0.065))
    light = round_light(u, (v - 0.50) * 0.95, 0.52, gloss=0.35)
    p.paint(cap, p.colour, light)
    pale = p.colour.amin(1, keepdim=True) > 0.8  # a white cap carries grey-brown spots
    spots = torch.where(pale, p.fixed((0.80, 0.72, 0.64)), p.fixed((1.0, 0.98, 0.94)))
    for su, sv, radius in ((-0.24, 0.64, 0.075), (0.03, 0.76, 0.095), (0.28, 0.62, 0.07)):
        p.paint(torch.maximum(circle(u - su, v - sv, radius), dome + 0.01), spots, light + 0.25)


def boat(p: Patch) -> None:
    u, v = p.u, p.v
    p.paint(box(u + 0.02, v - 0.60, 0.022, 0.38), p.fixed(BROWN))
    flag = convex(u, v, [(-0.02, 0.90), (0.16, 0.945), (-0.02, 0.99)])
    p.paint(flag, p.colour)
    main = convex(u, v, [(0.03, 0.36), (0.40, 0.36), (0.03, 0.88)])
    p.paint(main, p.fixed(CREAM), 1.0 - 0.35 * u.clamp(min=0))
    jib = convex(u, v, [(-0.34, 0.36), (-0.065, 0.36), (-0.065, 0.80)])
    p.paint(jib, p.fixed(CREAM), 0.88)
    hull = convex(u, v, [(-0.30, 0.0), (0.30, 0.0), (0.49, 0.31), (-0.49, 0.31)])
    light = 0.68 + 1.0 * v - 0.18 * u
    p.paint(hull - 0.012, p.colour, light)
    p.paint(box(u, v - 0.29, 0.475, 0.028), p.colour, 1.35)


def flower(p: Patch) -> None:
    u, v = p.u, p.v
    leaf = p.fixed(LEAF)
    p.paint(box(u, v - 0.25, 0.032, 0.27), leaf, 0.95 - 3 * u)
    for side in (-1, 1):
        a, b = side * u - 0.15, v - 0.16
        blade = ellipse(0.86 * a + 0.5 * b, -0.5 * a + 0.86 * b, 0.15, 0.065)
        p.paint(blade, leaf, 1.0 - 0.1 * side)
    a, b = u, v - 0.69
    radius, angle = (a * a + b * b).sqrt(), torch.atan2(a, b)
    sector = 2 * math.pi / 6
    turn = torch.remainder(angle + sector / 2, sector) - sector / 2
    petals = ellipse(radius * torch.cos(turn) - 0.185, radius * torch.sin(turn), 0.135, 0.115)
    light = 0.74 + 0.30 * (radius / 0.3).clamp(0, 1) + 0.25 * (b - a)
    p.paint(torch.minimum(petals, circle(a, b, 0.15)), p.colour, light)
    red, green, blue = p.colour.unbind(1)
    yellowish = ((red > 0.7) & (green > 0.45) & (blue < 0.4)).unsqueeze(1)
    centre = torch.where(yellowish, p.fixed((0.50, 0.28, 0.13)), p.fixed((1.0, 0.80, 0.20)))
    p.paint(circle(a, b, 0.105), centre, round_light(a, b, 0.16, gloss=0.2) + 0.1)


DRAWINGS: dict[str, Callable[[Patch], None]] = {
    draw.__name__: draw
    for draw in (ball, cube, cone, star, heart, house, tree, mushroom, boat, flower)
}
