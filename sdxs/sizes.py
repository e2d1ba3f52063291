"""How large a picture may be, and what is a list of values, one for each picture.

Knows nothing of models: what a side must be a multiple of is an argument.
"""

import operator
from typing import Any

from sdxs.errors import InputError, shown

LARGEST_SIDE = 2048  # pixels


def size(value: Any, multiple: int) -> tuple[int, int]:
    """(width, height) in pixels, both a multiple of `multiple`, at most LARGEST_SIDE."""
    sides = list(value) if is_list(value) else [value, value]
    try:
        width, height = (operator.index(side) for side in sides if not isinstance(side, bool))
    except (TypeError, ValueError):
        raise InputError(
            f"size must be a whole number or (width, height), not {shown(value)}"
        ) from None
    for side in (width, height):
        if not multiple <= side <= LARGEST_SIDE:
            raise InputError(
                f"size {width} x {height} cannot be drawn: each side lies between {multiple} and "
                f"{LARGEST_SIDE} pixels"
            )
        if side % multiple:
            below = side // multiple * multiple
            above = f" or {below + multiple}" if below + multiple <= LARGEST_SIDE else ""
            raise InputError(
                f"size {width} x {height} cannot be drawn: each side is a multiple of {multiple} "
                f"for this model, such as {below}{above}"
            )
    return width, height


def latent_sides(
    latents: Any, asked: Any, rows: tuple[int, int], factor: int, multiple: int
) -> tuple[int, int]:
    """(width, height) in pixels of latents that the caller brought; rows: their (batch, channels).
    A tensor is known by its ways: torch is not imported for it."""
    batch, channels = rows
    problem = f"latents must be a tensor ({batch}, {channels}, H/{factor}, W/…)"
    is_floating = getattr(latents, "is_floating_point", None)
    if not callable(is_floating) or not is_floating():
        raise InputError(f"{problem} of floating point numbers, not {type(latents).__name__}")
    shape = tuple(latents.shape)
    if len(shape) != 4 or shape[:2] != rows:
        raise InputError(f"{problem} for {batch} prompts, not {shape}")
    own = (shape[3] * factor, shape[2] * factor)
    if size(own, multiple) != (own if asked is None else size(asked, multiple)):
        raise InputError(f"latents {shape} are for {own[0]} x {own[1]} pixels, size is {asked}")
    if not bool(latents.isfinite().all()):
        raise InputError("latents must be finite numbers of about unit variance")
    return own


def is_list(value: Any) -> bool:
    """Whether a value is a list of per-picture values (an array of one axis counts)."""
    return isinstance(value, list | tuple | range) or getattr(value, "ndim", 0) == 1
