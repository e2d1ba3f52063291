"""From a stranger's request to an answer: the part of a page that needs no page.

Checks what came in, waits for its turn, has the picture made, encodes it, and turns every mishap
into one line of text. Knows nothing of Gradio, torch or browsers: `generate` is any function
from a prompt to a Pillow picture, `condition` any from a drawing to what a control follows.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.errors import NothingToFollow, SDXSError, one_line
from sdxs.metadata import reading, xmp
from sdxs.metadata.marker import Label, Marker
from sdxs.page import options
from sdxs.page.about import About
from sdxs.page.batches import Asked, Painted, in_step
from sdxs.page.drawings import LARGEST_CANVAS, bytes_of, data_url, is_drawn, read_drawing
from sdxs.page.restoring import restored
from sdxs.page.turns import Crowded, Turns
from sdxs.picture import encode, is_blank

log = logging.getLogger(__name__)

LONGEST_NOTE = 240  # characters
LONGEST_NAME = 60  # characters of a file's
LIVE = "jpeg"  # a frame among many; a file of another format is one to keep

BLANK = "Type what you would like to see, and the picture follows."
EMPTIED = "There is no prompt any more, so this is still the picture before: type a new one."
ALONE = "Draw, and the picture follows your lines; this is the prompt alone."
SILENT = "says nothing of how it was made"
BROKEN = "Something went wrong while making this picture; the next one may well work."


class Answer(TypedDict, total=False):
    """All that the server says to page.js. Pictures and files are data URLs; what there is not of
    an answer is missing from it."""

    note: str  # one line for the visitor; "" where there is nothing to say
    kind: Literal["hint", "warning", "error"]  # of note: how it looks
    again: bool  # there was no room: the page asks once more by itself
    picture: str  # a JPEG; without it the page keeps the one that it shows
    ms: float  # milliseconds from the request's turn to the encoded picture
    control: str  # a PNG: the control image that the picture follows
    plain: str  # a JPEG: the picture without its style, to compare
    file: str  # of a download: the picture as a PNG that says how it was made
    name: str  # of a download: what to call the file
    request: dict[str, Any]  # that made a file's picture, {field: value} as the widgets hold it


@dataclass(frozen=True)
class Made:
    """A finished file, the milliseconds it took, and a name for it.

    warning: about the request, or "". hint: what a visitor may like to know, or "". followed: the
    control image, a PNG, or nothing. plain: the picture without its style, or nothing.
    """

    file: bytes
    ms: float
    name: str
    warning: str = ""
    hint: str = ""
    followed: bytes = b""
    plain: bytes = b""


class Still(NamedTuple):
    """A frame of a film: the picture, and what was given, with a control image in the place of a
    drawing."""

    painted: Painted
    given: dict[str, Any]


class Answers:
    """Answers the requests of a page, a turn after the other.

    `generate(prompt, seed=..., ...)` gives the picture; it is told what `options.keywords` makes of
    a request, and nothing of what the request leaves out. With `condition(name, picture)` the page
    has a canvas: a request may bring a drawing to follow, in the way that its condition says, the
    first of `about.conditions` where it says none. `together` above 1 says that `generate` takes a
    list of prompts, too, and lists of what is `per_picture` in the table of options: up to so many
    requests that wait at the same moment are one call. Its warnings then name their rows, see
    `PictureWarning`. `marker` writes what files say. `rows` are the options that a
    request may carry.
    """

    def __init__(
        self,
        generate: Callable[..., Any],
        about: About | None = None,
        condition: Callable[[str, Image.Image], Image.Image] | None = None,
        together: int = 1,
        marker: Marker | None = None,
    ) -> None:
        self.marker = marker or Marker()
        self._reading = asyncio.Semaphore(2)
        self._generate = generate
        self.about = about or About()
        self._condition = condition
        self._turns = Turns(self._made, together)
        self.rows = options.shown(self.about, "canvas" if condition else "text")

    async def paint(self, request: Any) -> Answer:
        """Answer the page: the encoded picture, its milliseconds, a note; never an exception."""
        request = request if isinstance(request, dict) else {}
        if not str(request.get("prompt") or "").strip():
            return {"note": EMPTIED, "kind": "hint"}
        try:
            made = await self.make(request)
        except Exception as error:
            return mishap(error)
        answer: Answer = {"picture": data_url(made.file, "jpeg"), "ms": made.ms}
        if made.followed:
            answer["control"] = data_url(made.followed, "png")
        if made.plain:
            answer["plain"] = data_url(made.plain, "jpeg")
        answer["note"] = made.warning or made.hint
        answer["kind"] = "warning" if made.warning else "hint"
        return answer

    async def download(self, request: Any) -> Answer:
        """Answer the download button: the picture again, as a PNG with its parameters inside."""
        request = request if isinstance(request, dict) else {}
        try:
            made = await self.make({**request, "compare": False}, "png")
        except Exception as error:
            return mishap(error)
        return {"file": data_url(made.file, "png"), "name": made.name}

    async def read(self, request: Any) -> Answer:
        """The request that a file's picture answers, of {file: data URL, name}; or why there is
        none."""
        given = request if isinstance(request, dict) else {}
        name = one_line(given.get("name") or "The picture", LONGEST_NAME)
        try:
            file = bytes_of(given.get("file"), name)
            async with self._reading:
                found = await asyncio.to_thread(reading.read, file, name, LARGEST_CANVAS)
            if found is None:
                return {"note": f"{name} {SILENT}.", "kind": "hint"}
            again, note = restored(found, self.rows, self.about)
        except SDXSError as error:  # it begins with the name, as that is written
            return {"note": f"{one_line(error, LONGEST_NOTE)}.", "kind": "error"}
        except Exception as error:
            return mishap(error)
        return {"request": again, "note": sentence(note) if note else "", "kind": "hint"}

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

    async def make(self, request: Mapping[str, Any], format: str = "jpeg") -> Made:
        """Make one picture file. Raises InputError for what makes no sense, Crowded, and whatever
        `generate` raises."""
        given = options.checked(self.rows, self.about, request)
        made: Made = await self._turns.take((given, format), self._kind(given))
        return made

    async def still(self, given: dict[str, Any]) -> Still:
        """One frame of a film, when nobody waits for a picture. given: what `options.checked`
        gives, or that of the frame before. Raises as `make` does."""
        still: Still = await self._turns.take((given, ""), self._kind(given), patient=True)
        return still

    def _kind(self, given: Mapping[str, Any]) -> Hashable:
        """What requests have in common that may be painted at once. A drawing counts as one to
        follow: whether it is blank is seen in its turn."""
        control = CONDITIONS[self._way(given)].control if "drawing" in given else None
        return options.common({**options.keywords(given), "control": control})

    def _made(self, requests: list[tuple[dict[str, Any], str]]) -> list[Any]:
        start = time.perf_counter()
        steps = [
            self._steps(given, format, start) if format else self._still(given)
            for given, format in requests
        ]
        return in_step(self._generate, steps)

    def _steps(
        self, given: dict[str, Any], format: str, start: float
    ) -> Generator[Asked, Painted, Made]:
        """From what was given to the file, by way of the pictures that it takes."""
        drawing = given.get("drawing", "")
        given, hint = self._followed(given)
        painted = yield self._asked(given)
        file = self.labelled(painted.picture, given, format, drawing if "drawing" in given else "")
        ms = round(1000 * (time.perf_counter() - start), 1)
        said, plain = painted.warnings, b""
        if given.get("compare"):
            without = options.without("style", given)
            painted = yield self._asked(without)
            said, plain = said + painted.warnings, self.labelled(painted.picture, without, format)
        notes = [one_line(warning, LONGEST_NOTE) for warning in said]
        return Made(
            file,
            ms,
            file_name(given["prompt"], given["seed"], format),
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
        return pattern.replace("{prompt}", given[name])

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


def file_name(prompt: str, seed: int, format: str) -> str:
    """A short name for a picture that every system accepts."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:60].strip("-")
    return f"{words or 'picture'}-{seed}.{format}"


def mishap(error: Exception) -> Answer:
    """What a visitor is told of an error; the log has what is none of their business."""
    if isinstance(error, Crowded):
        return {"note": str(error), "kind": "hint", "again": True}
    if isinstance(error, SDXSError):
        return {"note": sentence(error), "kind": "error"}
    log.error("a picture could not be made", exc_info=error)
    return {"note": BROKEN, "kind": "error"}


def sentence(error: object) -> str:
    """An error as one line that begins and ends as a sentence does."""
    text = one_line(error, LONGEST_NOTE)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "…")) else ".")
