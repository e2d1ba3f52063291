"""What a person may ask of a model, checked: each mistake becomes an InputError with a remedy.

`check` makes frozen rows of everything that a call may be given, one row a picture. The functions
for a single value (`prompt`, `seed`, `scale`, `size`, `choice`, `typed`) are also there for pages
and command lines, which know a mistake before they have a model. Knows nothing of networks.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from sdxs.errors import InputError, did_you_mean, shown

LARGEST_SEED = 2**63 - 1
LONGEST_NUMBER = 20  # characters of a whole number as people type it, "-" and all
LARGEST_BATCH, LARGEST_SIDE = 256, 2048  # pictures; pixels
LARGEST_SCALE = 2.0
DECODERS = ("tiny", "large")
OUTPUT_TYPES = ("pil", "pt")

ONE_STEP = "this is a one-step model"
KNOWN_ELSEWHERE = {
    "guidance_scale": f"{ONE_STEP}: guidance was distilled into its weights and there is no "
    "second, unguided prediction to scale against; leave it out",
    "negative_prompt": f"{ONE_STEP}: it is not guided, so there is nothing that a negative prompt "
    "could push away from; say what you want in the prompt",
    "num_inference_steps": f"{ONE_STEP}: it was trained for exactly one step and more do not "
    "improve it; leave it out",
    "strength": f"{ONE_STEP}: it starts from pure noise and there is no step in between at which "
    "a picture could be mixed in; leave it out",
}


@dataclass(frozen=True)
class Offer:
    """What a loaded model can be asked for.

    size: (width, height) in pixels of a picture of which nothing else is said; multiple: in pixels,
    of each side. channels and factor are those of the latents, (B, channels, H/factor, W/factor).
    """

    checkpoint: str
    size: tuple[int, int]
    multiple: int
    decoders: tuple[str, ...] = ("tiny",)
    styles: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    channels: int = 4
    factor: int = 8

    def sides(self, asked: Any) -> tuple[int, int]:
        """(width, height) in pixels; the model's own where None is asked for."""
        return self.size if asked is None else size(asked, self.multiple)


@dataclass(frozen=True)
class Row:
    """One picture. A scale is from 0 to LARGEST_SCALE; a control comes with its image."""

    prompt: str
    seed: int = 0
    style: str | None = None
    style_scale: float = 1.0
    control: str | None = None
    control_image: Any = None
    control_scale: float = 1.0


@dataclass(frozen=True)
class Arguments:
    """One batch, (width, height) in pixels. single: it was asked for as one picture, not a list.

    latents: a tensor (B, C, H/8, W/8) of floating point numbers, or None for the seeds' noise.
    """

    rows: tuple[Row, ...]
    size: tuple[int, int]
    decoder: str
    output_type: str
    single: bool
    latents: Any = None


def check(
    offer: Offer,
    prompt: Any,
    *,
    seed: Any = 0,
    size: Any = None,
    decoder: Any = "tiny",
    style: Any = None,
    style_scale: Any = 1.0,
    control: Any = None,
    control_image: Any = None,
    control_scale: Any = 1.0,
    latents: Any = None,
    output_type: Any = "pil",
    **unknown: Any,
) -> Arguments:
    """The rows of a call, see `SDXS.__call__` for what each argument means. Raises InputError."""
    _refuse(unknown)
    prompts = _prompts(prompt)
    batch = len(prompts)
    column = partial(_column, batch)
    styles = column("style", style, partial(loaded, "style", known=offer.styles))
    style_scales = column("style_scale", style_scale, partial(scale, "style_scale"))
    controls = column("control", control, partial(loaded, "control", known=offer.controls))
    images = column("control_image", control_image)
    control_scales = column("control_scale", control_scale, partial(scale, "control_scale"))
    _followed(controls, images)
    choice("output_type", output_type, OUTPUT_TYPES)
    choice("decoder", decoder, DECODERS)
    if decoder not in offer.decoders:
        raise InputError(
            f"{offer.checkpoint} has no {decoder} decoder (no folder vae_large): "
            f"leave decoder out, or use {offer.decoders[0]!r}"
        )
    seeds = column("seed", seed, _seed)
    columns = (prompts, seeds, styles, style_scales, controls, images, control_scales)
    sides = offer.sides(size) if latents is None else _latent_sides(latents, size, offer, batch)
    rows = tuple(Row(*row) for row in zip(*columns, strict=True))
    return Arguments(rows, sides, decoder, output_type, isinstance(prompt, str), latents)


def _refuse(unknown: Mapping[str, Any]) -> None:
    """Raise InputError for keywords that a call does not take."""
    for name in unknown:
        if name in KNOWN_ELSEWHERE:
            raise InputError(f"{name} is not an argument here: {KNOWN_ELSEWHERE[name]}")
        known = [p.name for p in signature(check).parameters.values() if p.kind is p.KEYWORD_ONLY]
        hint = did_you_mean(name, known).rstrip() or f"known are {', '.join(known)}"
        raise InputError(f"there is no argument {name!r}: {hint}")


def typed(value: Any) -> Any:
    """The number that a text typed by a person says; anything else as it is, for a check to see."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        whole = text.isascii() and text.removeprefix("-").isdigit() and len(text) <= LONGEST_NUMBER
        return int(text) if whole else float(text)
    except ValueError:
        return value


def prompt(value: Any) -> str:
    """A text with something in it, as text that can be encoded: half an emoji becomes a "?"."""
    if not isinstance(value, str):
        raise InputError(f"prompt must be a string or a list of strings, not of {_kind(value)}")
    if not value.strip():
        raise InputError("the prompt is empty: say what you would like to see")
    return encodable(value)


def encodable(text: str) -> str:
    """A text as UTF-8 can hold it: half an emoji becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def seed(value: Any) -> int:
    """A whole number from 0 to LARGEST_SEED."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several says it in its own way
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise InputError(
            f"seed must be a whole number from 0 to {LARGEST_SEED}, not {shown(value)}"
        )
    return number


_seed = seed  # where an argument is called like it


def scale(name: str, value: Any) -> float:
    """A strength from 0 to LARGEST_SCALE, 1 being the usual one."""
    try:
        number = float("nan") if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = float("nan")
    if not 0 <= number <= LARGEST_SCALE:
        raise InputError(f"{name} must be from 0 to {LARGEST_SCALE:g}, not {shown(value)}")
    return number


def size(value: Any, multiple: int) -> tuple[int, int]:
    """(width, height) in pixels, both a multiple of `multiple`, at most LARGEST_SIDE."""
    sides = list(value) if _is_list(value) else [value, value]
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


def choice(name: str, value: Any, known: Sequence[str], why: str = "") -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in known:
        options = ", ".join(map(repr, known))
        raise InputError(f"{name} must be {options}{why}, not {shown(value)}")
    return value


def loaded(what: str, value: Any, known: Sequence[str]) -> str | None:
    """A style or control that is loaded, or None."""
    if value is None or (isinstance(value, str) and value in known):
        return value
    if not known:
        raise InputError(f"{what} {shown(value)} is not loaded: SDXS.load(…, {what}s=[…]) does")
    hint = did_you_mean(value, known, repr)
    raise InputError(f"there is no {what} {shown(value)}: {hint}loaded: {', '.join(known)}")


def _column(
    batch: int, name: str, value: Any, check: Callable[[Any], Any] = lambda row: row
) -> list[Any]:
    """One checked value per picture: a scalar goes to each, a list must have the batch's length."""
    rows = value if _is_list(value) else [value] * batch
    if len(rows) != batch:
        raise InputError(
            f"{name} has {len(rows)} values for {batch} "
            f"prompt{'s' if batch != 1 else ''}: give one for each, or a single one for all"
        )
    return [check(row) for row in rows]


def _prompts(value: Any) -> list[str]:
    """The prompts of a batch. A string is a batch of one."""
    rows = [value] if isinstance(value, str) else value
    if not isinstance(rows, list | tuple):
        raise InputError(f"prompt must be a string or a list of strings, not {_kind(value)}")
    if not rows:
        raise InputError("prompt is an empty list: give at least one prompt")
    if len(rows) > LARGEST_BATCH:
        raise InputError(
            f"{len(rows)} prompts at once are too many: give at most {LARGEST_BATCH} in one call"
        )
    return [prompt(row) for row in rows]


def _followed(controls: Sequence[str | None], images: Sequence[Any]) -> None:
    """A control needs a picture to follow, and a picture a control that follows it."""
    for control, image in zip(controls, images, strict=True):
        if control and image is None:
            raise InputError(f"control {control!r} needs a picture to follow: give control_image")
        if image is not None and not control:
            raise InputError("control_image has no effect without control: name one")


def _latent_sides(latents: Any, asked: Any, offer: Offer, batch: int) -> tuple[int, int]:
    """(width, height) in pixels of latents that the caller brought. A tensor is known by its ways:
    torch is not imported for it."""
    problem = f"latents must be a tensor ({batch}, {offer.channels}, H/{offer.factor}, W/…)"
    is_floating = getattr(latents, "is_floating_point", None)
    if not callable(is_floating) or not is_floating():
        raise InputError(f"{problem} of floating point numbers, not {_kind(latents)}")
    shape = tuple(latents.shape)
    if len(shape) != 4 or shape[:2] != (batch, offer.channels):
        raise InputError(f"{problem} for {batch} prompts, not {shape}")
    own = (shape[3] * offer.factor, shape[2] * offer.factor)
    if size(own, offer.multiple) != (own if asked is None else size(asked, offer.multiple)):
        raise InputError(f"latents {shape} are for {own[0]} x {own[1]} pixels, size is {asked}")
    if not bool(latents.isfinite().all()):
        raise InputError("latents must be finite numbers of about unit variance")
    return own


def _is_list(value: Any) -> bool:
    """Whether a value is a list of per-picture values (an array of one axis counts)."""
    return isinstance(value, list | tuple | range) or getattr(value, "ndim", 0) == 1


def _kind(value: Any) -> str:
    return type(value).__name__
