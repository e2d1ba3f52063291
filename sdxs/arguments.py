"""What a person may ask of a model, checked: each mistake becomes an InputError with a remedy.

Plain values in, plain values out, one per picture where it is per picture. Knows nothing of
networks or tensors.
"""

import difflib
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

from sdxs.errors import InputError

LARGEST_SEED = 2**63 - 1
LARGEST_BATCH = 256
LARGEST_SIDE = 2048
LARGEST_SCALE = 2.0
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


def refuse(unknown: Mapping[str, Any], call: Callable[..., Any]) -> None:
    """Raise InputError for keywords that `call` does not take."""
    for name in unknown:
        if name in KNOWN_ELSEWHERE:
            raise InputError(f"{name} is not an argument here: {KNOWN_ELSEWHERE[name]}")
        known = [p.name for p in signature(call).parameters.values() if p.kind is p.KEYWORD_ONLY]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        raise InputError(f"there is no argument {name!r}: {hint}")


def prompts(prompt: str | Sequence[str]) -> list[str]:
    """The prompts of a batch. A string is a batch of one."""
    rows = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(rows, list | tuple):
        raise InputError(f"prompt must be a string or a list of strings, not {_kind(prompt)}")
    if not rows:
        raise InputError("prompt is an empty list: give at least one prompt")
    if len(rows) > LARGEST_BATCH:
        raise InputError(
            f"{len(rows)} prompts at once are too many: give at most {LARGEST_BATCH} in one call"
        )
    for row in rows:
        if not isinstance(row, str):
            raise InputError(f"prompt must be a string or a list of strings, not of {_kind(row)}")
        if not row.strip():
            raise InputError("the prompt is empty: say what you would like to see")
    return list(rows)


def per_picture(name: str, value: Any, batch: int) -> list[Any]:
    """One value per picture: a scalar goes to each, a list must have the batch's length."""
    if not is_list(value):
        return [value] * batch
    if len(value) != batch:
        raise InputError(
            f"{name} has {len(value)} values for {batch} "
            f"prompt{'s' if batch != 1 else ''}: give one for each, or a single one for all"
        )
    return list(value)


def seeds(seed: Any, batch: int) -> list[int]:
    return [_seed(value) for value in per_picture("seed", seed, batch)]


def _seed(value: Any) -> int:
    problem = f"seed must be a whole number from 0 to {LARGEST_SEED}, not {_short(value)}"
    if isinstance(value, bool):
        raise InputError(problem)
    try:
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several says it in its own way
        raise InputError(problem) from None
    if not 0 <= number <= LARGEST_SEED:
        raise InputError(problem)
    return number


def size(value: Any, default: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(width, height) in pixels, both a multiple of `multiple`, at most LARGEST_SIDE."""
    if value is None:
        return default
    sides = list(value) if is_list(value) else [value, value]
    try:
        width, height = (operator.index(side) for side in sides if not isinstance(side, bool))
    except (TypeError, ValueError):
        raise InputError(
            f"size must be a whole number or (width, height), not {_short(value)}"
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
        raise InputError(f"{name} must be {options}{why}, not {_short(value)}")
    return value


def named(what: str, value: Any) -> dict[str, Any]:
    """Styles or controls to load, {name: source}: from a name, several, or a mapping."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = dict(value)
    else:
        items = [value] if isinstance(value, str | os.PathLike) else value
        if not isinstance(items, Sequence):
            items = [None]
        pairs = {os.fspath(item) if _named(item) else "": item for item in items}
    for name, source in pairs.items():
        if not isinstance(name, str) or not name or not _named(source):
            raise InputError(
                f"{what} must be a name, a list of names, or {{name: source}}, not {_short(value)}"
            )
    return pairs


def _named(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def names(what: str, value: Any, known: Sequence[str], batch: int) -> list[str | None]:
    """A loaded style or control for each picture, or None."""
    rows = per_picture(what, value, batch)
    for row in rows:
        if row is None or (isinstance(row, str) and row in known):
            continue
        if not known:
            raise InputError(f"{what} {_short(row)} is not loaded: SDXS.load(…, {what}s=[…]) does")
        close = difflib.get_close_matches(row, known, n=1) if isinstance(row, str) else []
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"there is no {what} {_short(row)}: {hint}loaded: {', '.join(known)}")
    return rows


def scales(what: str, value: Any, batch: int) -> list[float]:
    """A strength for each picture, 0 to LARGEST_SCALE."""
    out = []
    for row in per_picture(what, value, batch):
        try:
            number = float("nan") if isinstance(row, bool | str) else float(row)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            number = float("nan")
        if not 0 <= number <= LARGEST_SCALE:
            raise InputError(f"{what} must be from 0 to {LARGEST_SCALE:g}, not {_short(row)}")
        out.append(number)
    return out


def control_images(controls: Sequence[str | None], images: Sequence[Any]) -> None:
    """A control needs a picture to follow, and a picture a control that follows it."""
    for control, image in zip(controls, images, strict=True):
        if control and image is None:
            raise InputError(f"control {control!r} needs a picture to follow: give control_image")
        if image is not None and not control:
            raise InputError("control_image has no effect without control: name one")


def is_list(value: Any) -> bool:
    """Whether a value is a list of per-picture values (an array of one axis counts)."""
    return isinstance(value, list | tuple | range) or getattr(value, "ndim", 0) == 1


def _kind(value: Any) -> str:
    return type(value).__name__


def _short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number of thousands of digits
        return "one that large"
    return text if len(text) <= 40 else text[:39] + "…"
