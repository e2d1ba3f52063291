"""From a stranger's request to an answer: the part of a page that needs no page.

Parses what came in, waits for its turn, has the picture made, encodes it, and turns every mishap
into one line of text. Knows nothing of Gradio, torch or browsers: `generate` is any function
from a prompt to a Pillow picture, `condition` any from a drawing to what a control follows.
"""

import asyncio
import base64
import binascii
import logging
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdxs.arguments import LARGEST_SCALE, LARGEST_SEED
from sdxs.conditions import CONDITIONS
from sdxs.errors import (
    InputError,
    NothingToFollow,
    PromptCutWarning,
    SafetyWarning,
    SDXSError,
)
from sdxs.picture import MIME, encode, is_blank, read_picture

log = logging.getLogger(__name__)

LONGEST_PROMPT = 1_000_000  # characters; far more than any window, far less than memory
LARGEST_DRAWING = 6_000_000  # bytes of its file; a canvas of noise has fewer
LARGEST_CANVAS = 16_000_000  # pixels; a visitor's camera may have taken it
MOST_WAITING = 64  # requests that wait while another picture is being made

DRAWINGS = tuple(f"data:{kind};base64," for kind in MIME.values())

BLANK = "Type what you would like to see, and the picture follows."
ALONE = "Draw, and the picture follows your lines; this is the prompt alone."
CROWDED = "Many people are painting just now; the next try may find room."
BROKEN = "Something went wrong while making this picture; the next one may well work."


class Crowded(SDXSError):
    """Too many requests wait already."""


@dataclass(frozen=True)
class Made:
    """A finished file and the milliseconds it took.

    warning: about the request, or "". hint: what a visitor may like to know, or "". followed: the
    control picture, a PNG, or nothing. plain: the picture without its style, or nothing.
    """

    file: bytes
    ms: float
    warning: str = ""
    hint: str = ""
    followed: bytes = b""
    plain: bytes = b""


@dataclass(frozen=True)
class Canvas:
    """What a request draws: `drawing` is a data URL or "", `condition` the way to follow it."""

    condition: str
    drawing: str
    strength: float


class Studio:
    """Answers requests, one picture in the making at a time, first come, first served.

    `generate(prompt, seed=...)` gives the picture; `choices` are further keywords that a request
    may carry, such as "decoder", and the values that it may name. `templates`: what a request's
    "template" puts its prompt into, name -> pattern. With `condition(name, picture)`, a request may
    bring a "drawing", a data URL, to follow with a "strength", in the way that its "condition"
    says, one of `choices`, the first where it says none; `generate` is then given control=...,
    control_image=... and control_scale=.... A request with a "style" may state its "style_scale",
    and with "compare" it gets the plain picture, too.
    """

    def __init__(
        self,
        generate: Callable[..., Image.Image],
        *,
        choices: Mapping[str, Sequence[str]] | None = None,
        templates: Mapping[str, str] | None = None,
        condition: Callable[[str, Image.Image], Image.Image] | None = None,
        checkpoint: str = "",
    ) -> None:
        self._generate = generate
        self._templates = templates or {}
        self._condition = condition
        self._choices = {**(choices or {}), "template": tuple(self._templates)}
        canvas = ("drawing", "strength") if condition else ()
        style = ("style_scale", "compare") if self._choices.get("style") else ()
        self._fields = ("prompt", "seed", *self._choices, *canvas, *style)
        self._checkpoint = checkpoint
        self._turn = asyncio.Semaphore(1)  # its queue is first in, first out
        self._waiting = 0

    async def paint(self, request: Any) -> dict[str, Any]:
        """Answer the page: the encoded picture, its milliseconds, a note; never an exception."""
        wanted = self._wanted(request)
        if not str(wanted["prompt"] or "").strip():
            return {"note": BLANK, "kind": "hint"}
        try:
            made = await self.make(**wanted)
        except Exception as error:
            return _mishap(error)
        answer = {"picture": data_url(made.file, "jpeg"), "ms": made.ms}
        if made.followed:
            answer["control"] = data_url(made.followed, "png")
        if made.plain:
            answer["plain"] = data_url(made.plain, "jpeg")
        kind = "warning" if made.warning else "hint"
        return answer | {"note": made.warning or made.hint, "kind": kind}

    async def download(self, request: Any) -> dict[str, Any]:
        """Answer the download button: the picture again, as a PNG with its parameters inside."""
        wanted = self._wanted(request)
        try:
            made = await self.make(**{**wanted, "compare": False}, format="png")
            name = file_name(wanted["prompt"], wanted["seed"])
        except Exception as error:
            return _mishap(error)
        return {"file": data_url(made.file, "png"), "name": name}

    async def make(
        self,
        prompt: Any,
        seed: Any,
        *,
        template: Any = None,
        drawing: Any = None,
        strength: Any = 1,
        condition: Any = None,
        style_scale: Any = 1,
        compare: Any = False,
        format: str = "jpeg",
        **chosen: Any,
    ) -> Made:
        """Make one picture file. Raises InputError for what makes no sense, Crowded, and whatever
        `generate` raises."""
        prompt, options = parse_prompt(prompt), {"seed": parse_seed(seed), **chosen}
        named = {"template": template, "condition": condition, **chosen}
        for name, value in named.items():
            if value is not None and value not in self._choices.get(name, ()):
                raise InputError(f"There is no {name} {_short(value)!r}.")
        if template is not None:
            prompt = self._templates[template].replace("{prompt}", prompt)
        canvas = None
        if self._condition:
            way = condition or self._choices["condition"][0]
            canvas = Canvas(way, check_drawing(drawing), parse_strength(strength))
        if chosen.get("style"):
            options["style_scale"] = parse_strength(style_scale)
        compare = compare is True and "style_scale" in options
        if self._waiting >= MOST_WAITING:
            raise Crowded(CROWDED)
        self._waiting += 1
        try:
            await self._turn.acquire()  # who leaves before it begins costs nothing
        except BaseException:
            self._waiting -= 1
            raise
        # A visitor who leaves does not stop the thread, so the turn must not end with the visit.
        return await asyncio.shield(self._in_turn(prompt, options, canvas, compare, format))

    def _wanted(self, request: Any) -> dict[str, Any]:
        """The fields that count; whatever else a stranger sent is dropped."""
        request = request if isinstance(request, dict) else {}
        given = {
            name: request[name] for name in self._fields if request.get(name) not in ("", None)
        }
        return {"prompt": None, "seed": None} | given

    async def _in_turn(self, *work: Any) -> Made:
        try:
            return await asyncio.to_thread(self._make, *work)
        finally:
            self._turn.release()
            self._waiting -= 1

    def _make(
        self,
        prompt: str,
        options: dict[str, Any],
        canvas: Canvas | None,
        compare: bool,
        format: str,
    ) -> Made:
        start = time.perf_counter()
        followed, hint = self._followed(canvas) if canvas else (None, "")
        info = {"prompt": prompt, **options, "checkpoint": self._checkpoint, "software": "sdxs"}
        if canvas and followed:
            control = CONDITIONS[canvas.condition].control
            info |= {"condition": canvas.condition, "control_scale": canvas.strength}
            options |= {
                "control": control, "control_image": followed, "control_scale": canvas.strength
            }  # fmt: skip
        with warnings.catch_warnings(record=True) as caught:  # safe: one at a time has the turn
            warnings.simplefilter("always", PromptCutWarning)
            warnings.simplefilter("always", SafetyWarning)
            picture = self._generate(prompt, **options)
            file = encode(picture, format, info=info)
            ms = round(1000 * (time.perf_counter() - start), 1)
            plain = {name: options[name] for name in options if not name.startswith("style")}
            other = self._generate(prompt, **plain) if compare else None
        kinds = PromptCutWarning, SafetyWarning
        notes = [_short(w.message, 240) for w in caught if issubclass(w.category, kinds)]
        return Made(
            file,
            ms,
            warning="; ".join(dict.fromkeys(notes)),
            hint=hint,
            followed=encode(followed, "png") if followed else b"",
            plain=encode(other, format) if other else b"",
        )

    def _followed(self, canvas: Canvas) -> tuple[Image.Image | None, str]:
        """What a control follows of a canvas, or why there is nothing, for a visitor."""
        assert self._condition is not None
        if not canvas.drawing:
            return None, ALONE
        drawing = parse_drawing(canvas.drawing)
        if is_blank(drawing):
            return None, ALONE
        try:
            return self._condition(canvas.condition, drawing), ""
        except NothingToFollow as error:
            return None, _sentence(f"{error}; this is the prompt alone")


def parse_prompt(value: Any) -> str:
    """The prompt as text that can be encoded: half an emoji becomes a question mark."""
    text = str(value if value is not None else "")
    if not text.strip():
        raise InputError("The prompt is empty: say what you would like to see.")
    if len(text) > LONGEST_PROMPT:
        raise InputError(f"The prompt is longer than {LONGEST_PROMPT:,} characters: shorten it.")
    return text.encode("utf-8", "replace").decode("utf-8")


def parse_seed(value: Any) -> int:
    """A seed typed by a person, as a number from 0 to 2**63 - 1."""
    text = str(value if value is not None else "").strip()
    if re.fullmatch(r"[0-9]{1,19}", text) and int(text) <= LARGEST_SEED:
        return int(text)
    raise InputError(
        f"The seed {_short(text)!r} cannot be used: give a whole number from 0 to {LARGEST_SEED}."
    )


def parse_strength(value: Any) -> float:
    """How strongly a control acts, 0 to LARGEST_SCALE."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if 0 <= number <= LARGEST_SCALE:
        return number
    raise InputError(
        f"The strength {_short(value)!r} cannot be used: give a number from 0 to {LARGEST_SCALE:g}."
    )


def check_drawing(value: Any) -> str:
    """The data URL of a picture, or "" for none; InputError for another kind, or a huge one."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not value.startswith(DRAWINGS):
        raise InputError("The drawing is no PNG, JPEG or WebP picture.")
    if len(value) > LARGEST_DRAWING * 4 // 3 + 40:
        raise InputError(
            f"The drawing has more than {LARGEST_DRAWING // 1_000_000} MB: make it smaller."
        )
    return value


def parse_drawing(value: str) -> Image.Image:
    """The picture in a data URL. Raises InputError for a damaged one, or one of too many pixels."""
    try:
        file = base64.b64decode(value.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise InputError("The drawing arrived damaged: draw on.") from None
    return read_picture(file, largest=LARGEST_CANVAS)


def file_name(prompt: Any, seed: Any) -> str:
    """A short name for a PNG that every system accepts."""
    words = re.sub(r"[^a-z0-9]+", "-", str(prompt).lower())[:60].strip("-")
    return f"{words or 'picture'}-{parse_seed(seed)}.png"


def data_url(file: bytes, format: str) -> str:
    return f"data:{MIME[format]};base64,{base64.b64encode(file).decode('ascii')}"


def _mishap(error: Exception) -> dict[str, Any]:
    if isinstance(error, Crowded):
        return {"note": str(error), "kind": "hint", "again": True}
    if isinstance(error, SDXSError):
        return {"note": _short(error, 240), "kind": "error"}
    log.error("a picture could not be made", exc_info=error)
    return {"note": BROKEN, "kind": "error"}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _short(value: Any, most: int = 40) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
