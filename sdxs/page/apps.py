"""The pages on a model, one row each: what is loaded for it, and what it cannot do without.

The model comes through the package's lazy `sdxs.SDXS`, so that nothing heavy is imported before the
address is known to be right. Knows nothing of what is on a page.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

import sdxs
from sdxs import zero
from sdxs.proxies import direct
from sdxs.server.start import StartError
from sdxs.service import marks
from sdxs.service.about import About, welcome_picture

if TYPE_CHECKING:
    from sdxs.page.ui import Page

TOGETHER = 8  # requests that are painted as one batch, at most


@dataclass(frozen=True)
class App:
    """A page. about: what it does. styles, controls: which are loaded where the user names none;
    without any the page has no sense, and lacks says so."""

    about: str
    styles: str | None = None
    controls: str | None = None
    lacks: str = ""


APPS = {  # the name of the page -> what is particular about it
    "text": App("The text page: type a prompt, and the picture follows."),
    "anime": App(
        "The page of styles: type a prompt, and the picture follows in the style that you choose.",
        styles="all",
        lacks="no style to choose: name one, --styles NAME",
    ),
    "sketch": App(
        "The canvas page: draw, and the picture follows the stroke.",
        controls="all",
        lacks="no control to draw for: name one, --controls sketch=FOLDER",
    ),
}


@dataclass(frozen=True)
class Opened:
    """A page's model. load: gives another one like it. style: the page's first, "" for none.
    canvas: the page has one."""

    model: Any
    about: About
    style: str
    canvas: bool
    load: Callable[[], Any]

    @property
    def condition(self) -> Any:
        """What makes of a drawing what is to be followed; None without a canvas."""
        return self.model.condition if self.canvas else None

    def another(self) -> tuple[Any, Any]:
        """The model loaded anew, and its condition."""
        other = replace(self, model=self.load())
        return other.model, other.condition

    def welcome(self) -> Image.Image | None:
        """The picture that the page begins with, see `welcome_picture`."""
        styled = partial(self.model, style=self.style) if self.style else self.model
        return welcome_picture(styled, self.about)


def opened(name: str, options: argparse.Namespace) -> Opened:
    """The model that the options of `start.parser` ask for. Raises StartError where it lacks what
    the page needs, and whatever `SDXS.load` raises."""
    app = APPS[name]
    load = partial(
        sdxs.SDXS.load,
        options.checkpoint,
        styles=options.styles or app.styles,
        controls=options.controls or app.controls,
        safety=options.safety,
        device=options.device,
        dtype=options.dtype,
        engine=options.engine,
    )
    model: Any = load()
    about = About.of(model, page="" if name == "text" else name)
    if (app.styles and not about.styles) or (app.controls and not about.conditions):
        raise StartError(f"{model.checkpoint} has {app.lacks}")
    style = about.styles[0] if app.styles else ""
    return Opened(model, about, style, app.controls is not None, load)


def make_page(name: str, options: argparse.Namespace) -> "Page":
    """The page on a model in this process. Raises as `opened` does."""
    if lent := zero.is_lent():
        zero.prepare(options)
    with direct():  # Gradio makes a client of the network, which it never uses, when it is imported
        from sdxs.page.ui import sketch_page, text_page

    marker = marks.marker(options)  # before a model is loaded for nothing
    own = opened(name, options)
    about, welcome, paint = own.about, None, own.model
    if lent:  # the model cannot paint before a visitor asks, nor be loaded again
        about, paint = replace(about, lent=True), zero.borrowing(own.model.__call__)
    else:
        welcome = own.welcome()
    shared: dict[str, Any] = {
        "about": about, "together": TOGETHER, "marker": marker, "tools": not options.public,
    }  # fmt: skip
    if not lent:
        shared["rebuilt"] = own.another
    if own.canvas:
        return sketch_page(paint, own.condition, **shared)
    return text_page(paint, welcome=welcome, style=own.style, **shared)
