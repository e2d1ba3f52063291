"""What a request may carry: a row per option, read by pages, `/generate` and `python -m sdxs`.

A new option is a row of `OPTIONS`: its widget, its parameter, its option on the command line and
the keyword that reaches `generate` all come of it. Knows nothing of Gradio, torch or pictures.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sdxs import arguments
from sdxs.arguments import DECODERS, typed
from sdxs.conditions import CONDITIONS
from sdxs.errors import InputError
from sdxs.service.about import FIRST_SEED, About
from sdxs.service.drawings import check_drawing
from sdxs.service.kinds import Choice, Option, Picture, Place, Prompt, Slider, Switch, Text

LAYOUTS: dict[str, tuple[Place, ...]] = {  # of a page -> the places that there are on it
    "text": ("prompt", "seed", "more", "walk"),
    "canvas": ("prompt", "canvas", "followed", "strength", "seed", "more", "walk"),
}


def _prompt(name: str, value: Any) -> str:
    return arguments.prompt(value, name)


def _scale(name: str, value: Any) -> float:
    return arguments.scale(name, typed(value))


def _sides(name: str, value: Any) -> int | tuple[int, int]:
    """512 or 512x768; whether a model can draw it is seen when there is one."""
    try:
        sides = [int(side) for side in str(value).lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise InputError(f"{name} {value}: this is no size, use 512 or 512x768")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _decoders(names: Sequence[str]) -> dict[str, str]:
    """The one that is left open comes first: a page then drafts with tiny, see `Answers`."""
    both = {"": "tiny, large when you rest"} if {"tiny", "large"} <= set(names) else {}
    return {**both, **{name: name for name in names}}


def _or_none(names: Iterable[str]) -> dict[str, str]:
    found = {name: name for name in names}
    return {"": "none", **found} if found else {}


# In the order in which `/generate` takes them: a new one goes to the end.
OPTIONS: tuple[Option, ...] = (
    Option(
        "prompt", "Prompt", Prompt(), "prompt", _prompt,
        required=True, help="what to paint, in quotes",
    ),
    Option(
        "seed", "Seed", Text(rolls=True), "seed", lambda _, value: arguments.seed(typed(value)),
        keyword="seed", per_picture=True, start=FIRST_SEED, required=True, help="0 to 2**63 - 1",
        metavar="N",
    ),
    Option(
        "size", "Size", Text(), "nowhere", _sides, "size",
        help="in pixels (default: the checkpoint's)", metavar="SIDE or WxH",
    ),
    Option(
        "control", "Control", Text(), "nowhere", keyword="control",
        help="a ControlNet: a name known for the checkpoint, a file, a folder, or a Hub id",
        metavar="NAME",
    ),
    Option(
        "drawing", "drawing", Picture(), "canvas", check_drawing, "control_image",
        per_picture=True, help="a drawing or a photo to follow: PNG, JPEG or WebP", metavar="FILE",
    ),
    Option(
        "strength", "How closely", Slider(), "strength", _scale, "control_scale",
        per_picture=True, needs="drawing", start=1, help="0 to 2", metavar="X",
    ),
    Option(
        "style", "Style", Choice(lambda about: _or_none(about.styles)), "more", keyword="style",
        help="a LoRA: a name known for the checkpoint, a file, a folder, or a Hugging Face id",
        metavar="NAME",
    ),
    Option(
        "style_scale", "How much of it", Slider(), "more", _scale, "style_scale",
        per_picture=True, needs="style", start=1, help="0 to 2", metavar="X",
    ),
    Option(
        "compare", "Compare with and without", Switch(), "more", lambda _, value: value is True,
        needs="style", start=False, programs=False,
    ),
    Option("template", "Template", Choice(lambda about: _or_none(about.templates)), "more"),
    Option(
        "decoder", "Decoder",
        Choice(lambda about: _decoders(about.decoders), DECODERS),
        "more", keyword="decoder", help="tiny is fast, large is thorough (default: tiny)",
    ),
    Option(
        "condition", "What is followed",
        Choice(lambda about: {name: CONDITIONS[name].title for name in about.conditions}),
        "followed", needs="drawing",
    ),
    Option(
        "to_prompt", "To prompt", Text(), "walk", _prompt, "to_prompt", per_picture=True,
        help="walk to the picture of another prompt", metavar="PROMPT",
    ),
    Option(
        "to_seed", "To seed", Text(rolls=True), "walk",
        lambda name, value: arguments.seed(typed(value), name), "to_seed", per_picture=True,
        help="walk to the picture of another seed", metavar="N",
    ),
    Option(
        "walk", "How far", Slider(0, 1, 0.01), "walk",
        lambda name, value: arguments.scale(name, typed(value), 1), "walk", per_picture=True,
        needs="to_prompt or to_seed", start=arguments.HALFWAY, help="of that way, 0 to 1",
        metavar="X",
    ),
)  # fmt: skip


def shown(about: About, layout: str) -> tuple[Option, ...]:
    """The options of a page: those with a place on it, of which there is something to choose."""
    rows: dict[str, Option] = {}
    for row in OPTIONS:
        vain = isinstance(row.widget, Choice) and len(row.names(about)) < 2
        if row.place in LAYOUTS[layout] and not vain and not row.lacks(rows):
            rows[row.field] = row
    return tuple(rows.values())


def commanded() -> tuple[Option, ...]:
    """The options of the command line."""
    return tuple(row for row in OPTIONS if row.help)


def checked(rows: Iterable[Option], about: About, request: Mapping[str, Any]) -> dict[str, Any]:
    """What counts of a request, {field: value}; whatever else it says is dropped.

    What says nothing by itself is there with what it needs, and only then. Raises InputError.
    """
    given: dict[str, Any] = {}
    for row in rows:
        if row.lacks(given):
            continue
        value = request.get(row.field)
        blank = value is None or (isinstance(value, str) and not value.strip())
        if row.required or not blank:
            given[row.field] = row.checked(about, value)
        elif row.start is not None:
            given[row.field] = row.start
    return given


def without(field: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, as if nothing had been said of `field`."""
    left = {name: value for name, value in given.items() if name != field}
    gone = {row.field for row in OPTIONS if field in row.needed and row.lacks(left)}
    return {name: value for name, value in left.items() if name not in gone}


def keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `generate` is told of what was given, beside the prompt."""
    return {row.keyword: given[row.field] for row in OPTIONS if row.keyword and row.field in given}


def said(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a picture's file says of what was given, beside prompt and pictures, by titles. What
    programs cannot ask for changes nothing in the picture."""
    silent = {"prompt", "drawing"}
    return {
        row.title: given[row.field]
        for row in OPTIONS
        if row.field in given and row.programs and row.field not in silent
    }


def common(told: Mapping[str, Any]) -> Hashable:
    """What keywords must have in common to be those of one call: all names, the values of which a
    call has one, and of every scale whether it is 0: a model goes without what that is of, and so
    paints by another graph, whose 16 bits are rounded elsewhere."""
    own, scales = _per_picture(), _scales()
    return frozenset(
        (name, bool(value) if name in scales else name in own or value)
        for name, value in told.items()
    )


def columns(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keywords of one call for several pictures, made of theirs, of which `common` is the
    same."""
    own = _per_picture()
    return {
        name: [one[name] for one in told] if name in own else value
        for name, value in told[0].items()
    }


def _per_picture() -> set[str]:
    return {row.keyword for row in OPTIONS if row.per_picture}


def _scales() -> set[str]:
    return {row.keyword for row in OPTIONS if row.per_picture and isinstance(row.widget, Slider)}
