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
from typing import Any, Literal, TypedDict

from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.errors import NothingToFollow, SDXSError, one_line
from sdxs.page import options
from sdxs.page.about import About
from sdxs.page.batches import Asked, Painted, in_step
from sdxs.page.drawings import data_url, read_drawing
from sdxs.page.turns import Crowded, Turns
from sdxs.picture import encode, facts, is_blank

log = logging.getLogger(__name__)

LONGEST_NOTE = 240  # characters
LONGEST_NAME = 64  # characters of what a tab calls itself
SEEDS = 8  # of a strip: those that differ in their last three bits

BLANK = "Type what you would like to see, and the picture follows."
EMPTIED = "There is no prompt any more, so this is still the picture before: type a new one."
ALONE = "Draw, and the picture follows your lines; this is the prompt alone."
BROKEN = "Something went wrong while making this picture; the next one may well work."


class Answer(TypedDict, total=False):
    """All that the server says to page.js. Pictures and files are data URLs; what there is not of
    an answer is missing from it."""

    note: str  # one line for the visitor; "" where there is nothing to say
    kind: Literal["hint", "warning", "error"]  # of note: how it looks
    again: bool  # there was no room: the page asks once more by itself
    picture: str  # a JPEG; without it the page keeps the one that it shows
    ms: float  # milliseconds from the request's turn to the encoded picture
    stages: dict[str, float]  # where its time went on the server, in milliseconds
    pictures: dict[str, str]  # of a strip: seed -> a JPEG
    control: str  # a PNG: the control image that the picture follows
    plain: str  # a JPEG: the picture without its style, to compare
    file: str  # of a download: the picture as a PNG that says how it was made
    name: str  # of a download: what to call the file


@dataclass(frozen=True)
class Made:
    """A finished file, the milliseconds it took, and a name for it.

    stages: milliseconds of each of the server's stages, from the request's arrival.

    warning: about the request, or "". hint: what a visitor may like to know, or "". followed: the
    control image, a PNG, or nothing. plain: the picture without its style, or nothing.
    """

    file: bytes
    ms: float
    name: str
    stages: dict[str, float]
    warning: str = ""
    hint: str = ""
    followed: bytes = b""
    plain: bytes = b""


class Answers:
    """Answers the requests of a page, a turn after the other.

    `generate(prompt, seed=..., ...)` gives the picture; it is told what `options.keywords` makes of
    a request, and nothing of what the request leaves out. With `condition(name, picture)` the page
    has a canvas: a request may bring a drawing to follow, in the way that its condition says, the
    first of `about.conditions` where it says none. `together` above 1 says that `generate` takes a
    list of prompts, too, and lists of what is `per_picture` in the table of options: up to so many
    requests that wait at the same moment are one call. Its warnings then name their rows, see
    `PictureWarning`. `rows` are the options that a request may carry.
    """

    def __init__(
        self,
        generate: Callable[..., Any],
        about: About | None = None,
        condition: Callable[[str, Image.Image], Image.Image] | None = None,
        together: int = 1,
    ) -> None:
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
        visitor, final = _visitor(request), request.get("final") is True
        self._turns.drop((visitor, "final"), *([] if final else [(visitor, "strip")]))
        try:
            made = await self.make(request, patient=(visitor, "final") if final else None)
        except Exception as error:
            return mishap(error)
        answer: Answer = {"picture": data_url(made.file, "jpeg"), "ms": made.ms}
        answer["stages"] = made.stages
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

    async def variety(self, request: Any) -> Answer:
        """Answer the strip of seeds: the pictures of the request with each seed of its block, as
        one batch where `together` allows it. Patient: a strip makes no visitor wait for its turn,
        and goes when its visitor asks for something else."""
        request = request if isinstance(request, dict) else {}
        strip = _visitor(request), "strip"
        self._turns.drop(strip)
        try:
            draft = self._decided({**request, "final": False, "compare": False})
            given = options.checked(self.rows, self.about, draft)
            first = given["seed"] - given["seed"] % SEEDS
            seeds = range(first, first + SEEDS)
            made = await asyncio.gather(
                *(self._turn({**given, "seed": seed}, "jpeg", strip) for seed in seeds)
            )
        except Exception as error:
            self._turns.drop(strip)
            return mishap(error)
        pictures = {
            str(seed): data_url(one.file, "jpeg") for seed, one in zip(seeds, made, strict=True)
        }
        return {"pictures": pictures}

    async def make(
        self, request: Mapping[str, Any], format: str = "jpeg", patient: Hashable = None
    ) -> Made:
        """Make one picture file. Raises InputError for what makes no sense, Crowded, Stale, and
        whatever `generate` raises."""
        given = options.checked(self.rows, self.about, self._decided(request))
        return await self._turn(given, format, patient)

    async def _turn(self, given: dict[str, Any], format: str, patient: Hashable) -> Made:
        asked = time.perf_counter()
        return await self._turns.take((given, format, asked), self._kind(given), patient)

    def _decided(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request with its decoder. Where a page leaves that open, the picture of a hand that
        rests is `final`, and has the large one. It decodes the same latent as the draft before: the
        noise of a seed is the same every time, and so is what the U-Net makes of it, so that the
        server need not keep anything of a visitor."""
        if request.get("decoder") != "" or len(self.about.decoders) < 2:
            return request
        return {**request, "decoder": "large" if request.get("final") is True else "tiny"}

    def _kind(self, given: Mapping[str, Any]) -> Hashable:
        """What requests have in common that may be painted at once. A drawing counts as one to
        follow: whether it is blank is seen in its turn."""
        control = CONDITIONS[self._way(given)].control if "drawing" in given else None
        return options.common({**options.keywords(given), "control": control})

    def _made(self, requests: list[tuple[dict[str, Any], str, float]]) -> list[Made | Exception]:
        start = time.perf_counter()
        return in_step(self._generate, [self._steps(*request, start) for request in requests])

    def _steps(
        self, given: dict[str, Any], format: str, asked: float, start: float
    ) -> Generator[Asked, Painted, Made]:
        """From what was given to the file, by way of the pictures that it takes."""
        begun = time.perf_counter()
        pattern = self.about.templates[given["template"]] if "template" in given else "{prompt}"
        prompt = pattern.replace("{prompt}", given["prompt"])
        given, hint = self._followed(given)
        ready = time.perf_counter()
        told = options.keywords(given)
        checkpoint, condition = self.about.checkpoint, given.get("condition")
        info = facts(prompt=prompt, checkpoint=checkpoint, condition=condition, **told)
        painted = yield Asked(prompt, told)
        file, encoding = _timed(encode, painted.picture, format, info=info)
        ms = round(1000 * (time.perf_counter() - start), 1)
        said, plain, model = painted.warnings, b"", painted.ms
        if given.get("compare"):
            painted = yield Asked(prompt, options.keywords(options.without("style", given)))
            plain, more = _timed(encode, painted.picture, format)
            said, model, encoding = said + painted.warnings, model + painted.ms, encoding + more
        stages = {"drawing": 1000 * (ready - begun), "model": model, "encoding": encoding}
        # the rest: others' turns, and in a turn of several the others' files
        waiting = 1000 * (time.perf_counter() - asked) - sum(stages.values())
        stages = {"waiting": max(0.0, waiting), **stages}
        notes = [one_line(warning, LONGEST_NOTE) for warning in said]
        return Made(
            file,
            ms,
            file_name(given["prompt"], given["seed"], format),
            {name: round(ms, 1) for name, ms in stages.items()},
            warning="; ".join(dict.fromkeys(notes)),
            hint=hint,
            followed=encode(given["drawing"], "png") if "drawing" in given else b"",
            plain=plain,
        )

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


def _visitor(request: Mapping[str, Any]) -> Hashable:
    """Who asks: what the tab calls itself, or else somebody who never came before."""
    name = request.get("visitor")
    return name if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME else object()


def _timed(make: Callable[..., bytes], *arguments: Any, **options: Any) -> tuple[bytes, float]:
    """What is made, and its milliseconds."""
    start = time.perf_counter()
    return make(*arguments, **options), 1000 * (time.perf_counter() - start)


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
