"""Between two pictures: noise on the way from one to the other, and words.

Knows nothing of prompts, seeds, networks or files.
"""

from torch import Tensor

from sdxs.model.text import Words

STRAIGHT = 1e-6  # a sine below which an arc and its chord are the same, and the arc is 0 / 0


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Noise (B, ...) along the great circle from `start` to `end`, both (B, ...); t (B,) in [0, 1].

    Shoemake, "Animating Rotation with Quaternion Curves" (1985), section 3.3: with the angle theta
    between unit rows p and q, (sin((1 - t) theta) p + sin(t theta) q) / sin(theta).
    A chord would pass through the inside of the sphere, where the noise is too weak for a picture;
    here the norm goes evenly from that of one row to that of the other. Rows at an end are that
    end's, bit for bit. In float64 on the CPU: the same on every device.
    """
    p, q = (each.detach().cpu().double().flatten(1) for each in (start, end))  # (B, N)
    t = t.cpu().double()[:, None].where((p != q).any(1, keepdim=True), 0.0)  # (B, 1)
    lengths = [each.norm(dim=1, keepdim=True) for each in (p, q)]  # (B, 1)
    p, q = (each / length.clamp_min(1e-300) for each, length in zip((p, q), lengths, strict=True))
    theta = (p * q).sum(1, keepdim=True).clamp(-1, 1).acos()
    straight = theta.sin() < STRAIGHT
    sine = theta.sin().where(~straight, 1.0)
    of_p = (((1 - t) * theta).sin() / sine).where(~straight, 1 - t)
    of_q = ((t * theta).sin() / sine).where(~straight, t)
    along = lengths[0].lerp(lengths[1], t) * (of_p * p + of_q * q)
    return _ends(start, along.view_as(start).to(start), end, t[:, 0])


def blend(start: Words, end: Words, t: Tensor) -> Words:
    """Words in a straight line from `start` to `end`, row by row; t (B,) in [0, 1]. Rows at an end
    are that end's, bit for bit."""
    pairs = zip(start, end, strict=True)
    return Words(*(None if a is None else _line(a, b, t) for a, b in pairs))


def _line(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """In float32, in which it is rounded once."""
    between = start.float().lerp(end.float(), _beside(start, t)).to(start)
    return _ends(start, between, end, t)


def _ends(start: Tensor, between: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """`between`, but exactly `start` where t is 0 and `end` where it is 1."""
    t = _beside(start, t)
    return start.where(t <= 0, end.where(t >= 1, between))


def _beside(rows: Tensor, t: Tensor) -> Tensor:
    """t (B,) as (B, 1, ..., 1) for rows (B, ...), float32 on their device."""
    return t.float().to(rows.device).view(-1, *[1] * (rows.ndim - 1))
