"""What a person may ask of a model, checked: each mistake becomes an InputError with a remedy.

`check` makes frozen rows of everything that a call may be given, one row a picture. The functions
for a single value (`prompt`, `seed`, `scale`, `choice`, `typed`) are also there for pages
and command lines, which know a mistake before they have a model. Knows nothing of networks.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from sdxs.errors import InputError, did_you_mean, shown
from sdxs.sizes import is_list, latent_sides, size

LARGEST_SEED = 2**63 - 1
LONGEST_NUMBER = 20  # characters of a whole number as people type it, "-" and all
LARGEST_BATCH = 256  # pictures
LARGEST_SCALE = 2.0
DECODERS = ("tiny", "large")
OUTPUT_TYPES = ("pil", "pt")
HALFWAY = 0.5  # where a picture between two others is if nobody says

ONE_STEP = "this is a one-step model"
MORE_STEPS = (
    f"{ONE_STEP}: it was trained for exactly one step and more do not improve it; leave it out"
)
KNOWN_ELSEWHERE = {
    "guidance_scale": f"{ONE_STEP}: guidance was distilled into its weights and there is no "
    "second, unguided prediction to scale against; leave it out",
    "negative_prompt": f"{ONE_STEP}: it is not guided, so there is nothing that a negative prompt "
    "could push away from; say what you want in the prompt",
    "num_inference_steps": MORE_STEPS,
    "steps": MORE_STEPS,
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

    def sides_of(self, latents: Any, asked: Any, batch: int) -> tuple[int, int]:
        """(width, height) in pixels of so many latents that the caller brought."""
        return latent_sides(latents, asked, (batch, self.channels), self.factor, self.multiple)


@dataclass(frozen=True)
class Row:
    """One picture. A scale is from 0 to LARGEST_SCALE; a control comes with its image.

    walk: from 0, which is the picture of its prompt and seed, to 1, which is that of `to_prompt`
    and `to_seed`; None of them is the same one.
    """

    prompt: str
    seed: int = 0
    style: str | None = None
    style_scale: float = 1.0
    control: str | None = None
    control_image: Any = None
    control_scale: float = 1.0
    to_prompt: str | None = None
    to_seed: int | None = None
    walk: float = 0.0


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
    to_prompt: Any = None,
    to_seed: Any = None,
    walk: Any = None,
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
    to_prompts = column("to_prompt", to_prompt, _if_any(_prompt, "to_prompt"))
    to_seeds = column("to_seed", to_seed, _if_any(_seed, "to_seed"))
    walks = map(_walk, to_prompts, to_seeds, column("walk", walk))
    columns = (
        prompts, seeds, styles, style_scales, controls, images, control_scales,
        to_prompts, to_seeds, walks,
    )  # fmt: skip
    sides = offer.sides(size) if latents is None else offer.sides_of(latents, size, batch)
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
        whole = text.lstrip("+-").isdecimal() and len(text) <= LONGEST_NUMBER  # in any script
        return int(text) if whole else float(text)
    except ValueError:
        return value


def prompt(value: Any, name: str = "prompt") -> str:
    """A text with something in it, as text that can be encoded: half an emoji becomes a "?"."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a string or a list of strings, not of {_kind(value)}")
    if not value.strip():
        raise InputError(f"the {name} is empty: say what you would like to see")
    return encodable(value)


_prompt = prompt  # where an argument is called like it


def encodable(text: str) -> str:
    """A text as UTF-8 can hold it: half an emoji becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def seed(value: Any, name: str = "seed") -> int:
    """A whole number from 0 to LARGEST_SEED."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several says it in its own way
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise InputError(
            f"{name} must be a whole number from 0 to {LARGEST_SEED}, not {shown(value)}"
        )
    return number


_seed = seed


def scale(name: str, value: Any, most: float = LARGEST_SCALE) -> float:
    """A number from 0 to `most`; of a strength 1 is the usual one."""
    try:
        number = float("nan") if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = float("nan")
    if not 0 <= number <= most:
        raise InputError(f"{name} must be from 0 to {most:g}, not {shown(value)}")
    return number


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
    rows = value if is_list(value) else [value] * batch
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


def _if_any(check: Callable[[Any, str], Any], name: str) -> Callable[[Any], Any]:
    """The check of what may also be None."""
    return lambda value: None if value is None else check(value, name)


def _walk(to_prompt: str | None, to_seed: int | None, walk: Any) -> float:
    """How far on its way a picture is, 0 where it is on none."""
    if to_prompt is None and to_seed is None:
        if walk is not None:
            raise InputError("walk leads nowhere by itself: give to_prompt, to_seed or both")
        return 0.0
    return HALFWAY if walk is None else scale("walk", walk, 1)


def _followed(controls: Sequence[str | None], images: Sequence[Any]) -> None:
    """A control needs a picture to follow, and a picture a control that follows it."""
    for control, image in zip(controls, images, strict=True):
        if control and image is None:
            raise InputError(f"control {control!r} needs a picture to follow: give control_image")
        if image is not None and not control:
            raise InputError("control_image has no effect without control: name one")


def _kind(value: Any) -> str:
    return type(value).__name__
