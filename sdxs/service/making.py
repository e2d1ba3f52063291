"""From a checked request to a finished file: whose turn it is, what is painted, what the file says.

Knows nothing of Gradio, torch, browsers, or of what visitors are told.
"""

import re
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.errors import NothingToFollow, one_line, sentence
from sdxs.metadata import xmp
from sdxs.metadata.marker import Label, Marker
from sdxs.picture import encode, is_blank
from sdxs.service import options
from sdxs.service.about import About
from sdxs.service.batches import Asked, Painted, in_step
from sdxs.service.bounds import Bounds
from sdxs.service.drawings import is_drawn, read_drawing
from sdxs.service.heard import Hearer
from sdxs.service.turns import Turns

Generate = Callable[..., Any]
Condition = Callable[[str, Image.Image], Image.Image]
Rebuilt = Callable[[], tuple[Generate, Condition | None]]

LONGEST_NOTE = 240  # characters
LIVE = "jpeg"  # a frame among many; a file of another format is one to keep
ALONE = "Draw, and the picture follows your lines; this is the prompt alone."


@dataclass(frozen=True)
class Made:
    """A finished file, the milliseconds it took, and a name for it.

    stages: milliseconds of each of the server's stages, from the request's arrival. warning: about
    the request, or "". hint: what a visitor may like to know, or "". followed: the control image, a
    PNG, or nothing. plain: the picture without its style, or nothing.
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


class Maker:
    """Makes what requests ask for, a turn after the other.

    `generate(prompt, seed=..., ...)` gives the picture; it is told what `options.keywords` makes of
    a request, and nothing of what the request leaves out. With `condition(name, picture)` the page
    has a canvas: a request may bring a drawing to follow, in the way that its condition says, the
    first of `about.conditions` where it says none. `together` above 1 says that `generate` takes a
    list of prompts, too, and lists of what is `per_picture` in the table of options: up to so many
    requests that wait at the same moment are one call. Its warnings then name their rows, see
    `PictureWarning`. `marker` writes what files say. `rows` are the options that a request may
    carry, `bounds` how much of it; `hearer` is told of every picture. `rebuilt` gives another
    `generate` and `condition`, for when a picture takes so long that it is given up, and may hold
    those that were.
    """

    bounds = Bounds()
    hearer = Hearer()

    def __init__(
        self,
        generate: Generate,
        about: About | None = None,
        condition: Condition | None = None,
        together: int = 1,
        marker: Marker | None = None,
        rebuilt: Rebuilt | None = None,
    ) -> None:
        self.marker = marker or Marker()
        self.about = about or About()
        self._generate = generate
        self._condition = condition
        self._rebuilt = rebuilt
        self._turns = Turns(self._made, together, renew=self._renew)
        self.rows = options.shown(self.about, "canvas" if condition else "text")

    @property
    def broken(self) -> bool:
        """Whether this program had better be started anew, see `Turns`."""
        return self._turns.broken

    def end(self) -> None:
        """No picture is made any more, and whoever waits for one is told. For any thread."""
        self._turns.end()

    def waiting(self) -> int:
        """Requests that wait or are being worked on."""
        return self._turns.waiting()

    async def make(
        self,
        request: Mapping[str, Any],
        format: str = LIVE,
        name: Hashable = None,
        patient: bool = False,
    ) -> Made:
        """Make one picture file. name: of the visitor and the use, see `Turns.take`; None for a
        program. Raises InputError for what makes no sense, what `Turns.take` raises, and whatever
        `generate` raises."""
        return await self._turn(self.checked(request), format, name, patient)

    async def still(self, given: dict[str, Any]) -> Still:
        """One frame of a film, when nobody waits for a picture. given: what `checked` gives, or
        that of the frame before. Raises as `make` does."""
        item = given, "", time.perf_counter()
        still: Still = await self._turns.take(
            item, self._kind(given), patient=True, size=_size(given)
        )
        return still

    def checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What counts of a request, with its decoder. Where a page leaves that open, the picture of
        a hand that rests is `final`, and has the large one. It decodes the same latent as the draft
        before: the noise of a seed is the same every time, and so is what the U-Net makes of it, so
        that the server need not keep anything of a visitor. Raises InputError."""
        if request.get("decoder") == "" and len(self.about.decoders) > 1:
            request = {**request, "decoder": "large" if request.get("final") is True else "tiny"}
        given = options.checked(self.rows, self.about, request)
        self.bounds.check(given)
        return given

    def labelled(
        self, picture: Image.Image, given: Mapping[str, Any], format: str = LIVE, drawing: str = ""
    ) -> bytes:
        """A picture file that says how it was made. given: checked. drawing: the data URL of what
        the picture follows."""
        keep = format != LIVE
        drawn = xmp.kept(read_drawing(drawing)) if keep and is_drawn(drawing) else b""
        return self.marker(picture, format, self.label(given, drawn), keep=keep)

    def label(self, given: Mapping[str, Any], drawing: bytes = b"") -> Label:
        """How a picture or a film is made. given: checked."""
        said = options.said(given)
        return Label(self._filled(given), self.about.checkpoint, said, drawing)

    async def _turn(
        self, given: dict[str, Any], format: str, name: Hashable, patient: bool
    ) -> Made:
        item, size = (given, format, time.perf_counter()), _size(given)
        try:
            made: Made = await self._turns.take(item, self._kind(given), name, patient, size)
        except Exception as error:
            self.hearer.failed(error)
            raise
        self.hearer.made(given, made.stages)
        return made

    def _renew(self) -> None:
        if self._rebuilt:
            self._generate, self._condition = self._rebuilt()

    def _kind(self, given: Mapping[str, Any]) -> Hashable:
        """What requests have in common that may be painted at once. A drawing counts as one to
        follow: whether it is blank is seen in its turn."""
        control = CONDITIONS[self._way(given)].control if "drawing" in given else None
        return options.common({**options.keywords(given), "control": control})

    def _made(self, requests: list[tuple[dict[str, Any], str, float]]) -> list[Any]:
        start = time.perf_counter()
        self.hearer.turn(len(requests))
        steps = [
            self._steps(given, format, asked, start) if format else self._still(given)
            for given, format, asked in requests
        ]
        return in_step(self._generate, steps)

    def _steps(
        self, given: dict[str, Any], format: str, asked: float, start: float
    ) -> Generator[Asked, Painted, Made]:
        """From what was given to the file, by way of the pictures that it takes."""
        begun, drawing = time.perf_counter(), given.get("drawing", "")
        given, hint = self._followed(given)
        ready = time.perf_counter()
        painted = yield self._asked(given)
        drawing = drawing if "drawing" in given else ""
        file, encoding = _timed(self.labelled, painted.picture, given, format, drawing)
        ms = round(1000 * (time.perf_counter() - start), 1)
        said, plain, model = painted.warnings, b"", painted.ms
        if given.get("compare"):
            without = options.without("style", given)
            painted = yield self._asked(without)
            plain, more = _timed(self.labelled, painted.picture, without, format)
            said, model, encoding = said + painted.warnings, model + painted.ms, encoding + more
        stages = {"drawing": 1000 * (ready - begun), "model": model, "encoding": encoding}
        # the rest: others' turns, and in a turn of several the others' files
        waiting = 1000 * (time.perf_counter() - asked) - sum(stages.values())
        notes = [one_line(warning, LONGEST_NOTE) for warning in said]
        return Made(
            file,
            ms,
            file_name(given["prompt"], given["seed"], format),
            stages={"waiting": max(0.0, waiting), **stages},
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
            name: self._filled(given, name) for name in ("prompt", "to_prompt") if name in given
        }
        return Asked(said["prompt"], options.keywords({**given, **said}))

    def _filled(self, given: Mapping[str, Any], name: str = "prompt") -> str:
        """A prompt in its template, if it has one."""
        pattern = self.about.templates[given["template"]] if "template" in given else "{prompt}"
        filled: str = pattern.replace("{prompt}", given[name])
        return filled

    def _followed(self, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What was given, with the control and its image in the place of a drawing; and, where
        there is nothing to follow, why."""
        alone = options.without("drawing", given)
        if self._condition is None:
            return alone, ""
        drawing = read_drawing(given["drawing"]) if "drawing" in given else None
        if drawing is None or is_blank(drawing):
            return alone, ALONE
        way = self._way(given)
        try:
            image = self._condition(way, drawing)
        except NothingToFollow as error:
            return alone, sentence(f"{error}; this is the prompt alone")
        control = CONDITIONS[way].control
        return {**given, "condition": way, "control": control, "drawing": image}, ""

    def _way(self, given: Mapping[str, Any]) -> str:
        """The condition by which a drawing is followed."""
        return given.get("condition") or self.about.conditions[0]


def _size(given: Mapping[str, Any]) -> int:
    """Of what waits, about, in bytes: drawings are long texts."""
    return sum(len(value) for value in given.values() if isinstance(value, str))


def _timed(make: Callable[..., bytes], *arguments: Any) -> tuple[bytes, float]:
    """What is made, and its milliseconds."""
    start = time.perf_counter()
    return make(*arguments), 1000 * (time.perf_counter() - start)


def file_name(prompt: str, seed: int, format: str) -> str:
    """A short name for a picture that every system accepts."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:60].strip("-")
    return f"{words or 'picture'}-{seed}.{format}"
