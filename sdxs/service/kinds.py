"""What an option of a request is: its widget, its place on a page, its names, its check.

Knows nothing of which options there are.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdxs import arguments
from sdxs.arguments import LARGEST_SCALE
from sdxs.metadata.parameters import title
from sdxs.service.about import About

Place = Literal["prompt", "canvas", "followed", "strength", "seed", "more", "walk", "nowhere"]


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
    nothing, or fields with "or" between them, of which it needs one. start: what it is when nobody
    says. required: an empty one is a mistake. programs: `/generate` has it. help, metavar: on the
    command line.
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

    @property
    def title(self) -> str:
        """Its name in what a picture's file says: "Style scale"."""
        return title(self.keyword or self.field)

    @property
    def needed(self) -> list[str]:
        """The fields of which it needs one; none where it needs nothing."""
        return self.needs.split(" or ") if self.needs else []

    def lacks(self, fields: Container[str]) -> bool:
        """Whether it says nothing beside these."""
        return bool(self.needs) and not any(field in fields for field in self.needed)

    def names(self, about: About) -> Mapping[str, str]:
        """Of a choice, what there is for a model; nothing for another widget."""
        return self.widget.names(about) if isinstance(self.widget, Choice) else {}

    def checked(self, about: About, value: Any) -> Any:
        """The value that counts, of a request to this model's page. Raises InputError."""
        name = self.field.replace("_", " ")
        if isinstance(self.widget, Choice):
            return arguments.choice(name, value, [name for name in self.names(about) if name])
        return self.check(name, value) if self.check else value
