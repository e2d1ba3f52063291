"""From checked requests to finished files: what the model is asked for, and what becomes of that.

Knows nothing of turns, visitors, Gradio or torch. It may run in another process than the one that
is asked: what comes and goes can be pickled.
"""

import re
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.errors import NothingToFollow, one_line, sentence
from sdxs.metadata.marker import Marker
from sdxs.picture import encode, is_blank
from sdxs.service import options
from sdxs.service.about import About
from sdxs.service.batches import Asked, Painted, in_step
from sdxs.service.drawings import read_drawing
from sdxs.service.labels import Labels

Generate = Callable[..., Any]
Condition = Callable[[str, Image.Image], Image.Image]

LONGEST_NOTE = 240  # characters
ALONE = "Draw, and the picture follows your lines; this is the prompt alone."


class Order(NamedTuple):
    """What is to be painted: a checked request, and the file's format, "" for a `Still`."""

    given: dict[str, Any]
    format: str


@dataclass(frozen=True)
class Made:
    """A finished file, the milliseconds it took, and a name for it.

    stages: milliseconds of each of the server's stages. warning: about the request, or "". hint:
    what a visitor may like to know, or "". followed: the control image, a PNG, or nothing. plain:
    the picture without its style, or nothing.
    """

    file: bytes
    ms: float
    name: str
    stages: dict[str, float]
    warning: str = ""
    hint: str = ""
    followed: bytes = b""
    plain: bytes = b""


class Still(NamedTuple):
    """A frame of a film: the picture, and what was given, with a control image in the place of a
    drawing."""

    painted: Painted
    given: dict[str, Any]


class Painter:
    """Paints orders, several at once.

    `generate(prompt, seed=...)` gives the picture; it is told what `options.keywords` makes of
    a request, and nothing of what the request leaves out. Where several orders come at once it is
    called with lists: of prompts, and of what is `per_picture` in the table of options. Its
    warnings then name their rows, see `PictureWarning`. `condition(name, picture)` makes of a
    drawing what is to be followed. `marker` writes what files say.
    """

    def __init__(
        self,
        generate: Generate,
        about: About,
        condition: Condition | None = None,
        marker: Marker | None = None,
    ) -> None:
        self.generate, self.about, self.condition = generate, about, condition
        self._labels = Labels(about, marker)

    def __call__(self, orders: Sequence[Order]) -> list[Made | Still | Exception]:
        """What becomes of each order, in their order."""
        start = time.perf_counter()
        steps: list[Generator[Asked, Painted, Made | Still]] = [
            self._steps(order, start) if order.format else self._still(order.given)
            for order in orders
        ]
        return in_step(self.generate, steps)

    def _steps(self, order: Order, start: float) -> Generator[Asked, Painted, Made]:
        """From what was given to the file, by way of the pictures that it takes."""
        given, format = order
        begun, drawing = time.perf_counter(), given.get("drawing", "")
        given, hint = self._followed(given)
        ready = time.perf_counter()
        painted = yield self._asked(given)
        drawing = drawing if "drawing" in given else ""
        file, encoding = _timed(self._labels.file, painted.picture, given, format, drawing)
        ms = round(1000 * (time.perf_counter() - start), 1)
        said, plain, model = painted.warnings, b"", painted.ms
        if given.get("compare"):
            without = options.without("style", given)
            painted = yield self._asked(without)
            plain, more = _timed(self._labels.file, painted.picture, without, format)
            said, model, encoding = said + painted.warnings, model + painted.ms, encoding + more
        notes = [one_line(warning, LONGEST_NOTE) for warning in said]
        return Made(
            file,
            ms,
            file_name(given["prompt"], given["seed"], format),
            stages={"drawing": 1000 * (ready - begun), "model": model, "encoding": encoding},
            warning="; ".join(dict.fromkeys(notes)),
            hint=hint,
            followed=encode(given["drawing"], "png") if "drawing" in given else b"",
            plain=plain,
        )

    def _still(self, given: dict[str, Any]) -> Generator[Asked, Painted, Still]:
        if isinstance(given.get("drawing"), str):  # once in a film
            given, _ = self._followed(given)
        painted = yield self._asked(given)
        return Still(painted, given)

    def _asked(self, given: Mapping[str, Any]) -> Asked:
        """The picture to ask for, with the template around all that is said."""
        said = {
            name: self._labels.filled(given, name)
            for name in ("prompt", "to_prompt")
            if name in given
        }
        return Asked(said["prompt"], options.keywords({**given, **said}))

    def _followed(self, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What was given, with the control and its image in the place of a drawing; and, where
        there is nothing to follow, why."""
        alone = options.without("drawing", given)
        if self.condition is None:
            return alone, ""
        drawing = read_drawing(given["drawing"]) if "drawing" in given else None
        if drawing is None or is_blank(drawing):
            return alone, ALONE
        way = _way(given, self.about)
        try:
            image = self.condition(way, drawing)
        except NothingToFollow as error:
            return alone, sentence(f"{error}; this is the prompt alone")
        control = CONDITIONS[way].control
        return {**given, "condition": way, "control": control, "drawing": image}, ""


def kind(given: Mapping[str, Any], about: About) -> Hashable:
    """What requests have in common that may be painted at once. A drawing counts as one to follow:
    whether it is blank is seen in its turn."""
    control = CONDITIONS[_way(given, about)].control if "drawing" in given else None
    return options.common({**options.keywords(given), "control": control})


def _way(given: Mapping[str, Any], about: About) -> str:
    """The condition by which a drawing is followed."""
    return given.get("condition") or about.conditions[0]


def _timed(make: Callable[..., bytes], *arguments: Any) -> tuple[bytes, float]:
    """What is made, and its milliseconds."""
    start = time.perf_counter()
    return make(*arguments), 1000 * (time.perf_counter() - start)


def file_name(prompt: str, seed: int, format: str) -> str:
    """A short name for a picture that every system accepts."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:60].strip("-")
    return f"{words or 'picture'}-{seed}.{format}"
