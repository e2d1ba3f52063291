"""What a request may carry: a row per option, read by pages, `/generate` and `python -m sdxs`.

A new option is a row of `OPTIONS`: its widget, its parameter, its option on the command line and
the keyword that reaches `generate` all come of it. Knows nothing of Gradio, torch or pictures.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sdxs import arguments
from sdxs.arguments import DECODERS, LARGEST_SCALE, typed
from sdxs.conditions import CONDITIONS
from sdxs.errors import InputError
from sdxs.page.about import FIRST_SEED, About
from sdxs.page.drawings import check_drawing

LONGEST_PROMPT = 1_000_000  # characters; far more than any window, far less than memory

Place = Literal["prompt", "canvas", "followed", "strength", "seed", "more", "nowhere"]
LAYOUTS: dict[str, tuple[Place, ...]] = {  # of a page -> the places that there are on it
    "text": ("prompt", "seed", "more"),
    "canvas": ("prompt", "canvas", "followed", "strength", "seed", "more"),
}


@dataclass(frozen=True)
class Prompt:
    """Some lines to write in, on top of a page."""


@dataclass(frozen=True)
class Text:
    """A line to write in. rolls: a button beside it writes another number."""

    rolls: bool = False


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high`."""

    low: float = 0
    high: float = LARGEST_SCALE
    step: float = 0.05


@dataclass(frozen=True)
class Switch:
    """On or off."""


@dataclass(frozen=True)
class Choice:
    """One of a few names, {name: what people read}; the first one at the start. known: those that
    any model may have; () where that depends on the model."""

    names: Callable[[About], Mapping[str, str]]
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture: a data URL in a request, a file on the command line, and a canvas on a page."""


@dataclass(frozen=True)
class Option:
    """One thing that a request may carry.

    field: its name in a request, and as a parameter of `/generate`. label: beside its widget, for
    people. place: where pages show it; a page without that place has not got it. check: `(name,
    value)` to the value that counts, of what people type, too, or InputError; a choice is checked
    by its names. keyword: of `generate`, and with dashes an option of the command line; "" where it
    acts in a way of its own. per_picture: in one call each picture may have its own; requests with
    different values of another keyword are never one call. needs: the field without which it says
    nothing. start: what it is when nobody says. required: an empty one is a mistake. programs:
    `/generate` has it. help, metavar: on the command line.
    """

    field: str
    label: str
    widget: Prompt | Text | Slider | Switch | Choice | Picture
    place: Place
    check: Callable[[str, Any], Any] | None = None
    keyword: str = ""
    per_picture: bool = False
    needs: str = ""
    start: Any = None
    required: bool = False
    programs: bool = True
    help: str = ""
    metavar: str = ""

    @property
    def flag(self) -> str:
        """Its name on the command line: "--style-scale"; the prompt goes without."""
        return f"--{self.keyword.replace('_', '-')}" if self.keyword else self.field

    def names(self, about: About) -> Mapping[str, str]:
        """Of a choice, what there is for a model; nothing for another widget."""
        return self.widget.names(about) if isinstance(self.widget, Choice) else {}

    def checked(self, about: About, value: Any) -> Any:
        """The value that counts, of a request to this model's page. Raises InputError."""
        name = self.field.replace("_", " ")
        if isinstance(self.widget, Choice):
            return arguments.choice(name, value, [name for name in self.names(about) if name])
        return self.check(name, value) if self.check else value


def _prompt(name: str, value: Any) -> str:
    text = arguments.prompt(value)
    if len(text) > LONGEST_PROMPT:
        raise InputError(f"the {name} is longer than {LONGEST_PROMPT:,} characters: shorten it")
    return text


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
)  # fmt: skip


def shown(about: About, layout: str) -> tuple[Option, ...]:
    """The options of a page: those with a place on it, of which there is something to choose."""
    rows: dict[str, Option] = {}
    for row in OPTIONS:
        vain = isinstance(row.widget, Choice) and len(row.names(about)) < 2
        if row.place in LAYOUTS[layout] and not vain and (not row.needs or row.needs in rows):
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
        if row.needs and row.needs not in given:
            continue
        value = request.get(row.field)
        if row.required or (value is not None and value != ""):
            given[row.field] = row.checked(about, value)
        elif row.start is not None:
            given[row.field] = row.start
    return given


def without(field: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, as if nothing had been said of `field`."""
    gone = {row.field for row in OPTIONS if field in (row.field, row.needs)}
    return {name: value for name, value in given.items() if name not in gone}


def keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `generate` is told of what was given, beside the prompt."""
    return {row.keyword: given[row.field] for row in OPTIONS if row.keyword and row.field in given}


def common(told: Mapping[str, Any]) -> Hashable:
    """What keywords must have in common to be those of one call: all names, and the values of which
    a call has one."""
    own = _per_picture()
    return frozenset((name, name in own or value) for name, value in told.items())


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
