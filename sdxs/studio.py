"""From a stranger's request to an answer: the part of a page that needs no page.

Parses what came in, waits for its turn, has the picture made, encodes it, and turns every mishap
into one line of text. Knows nothing of Gradio, torch or browsers: `generate` is any function
from a prompt to a Pillow picture.
"""

import asyncio
import base64
import logging
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdxs.errors import InputError, PromptCutWarning, SafetyWarning, SDXSError
from sdxs.picture import MIME, encode
from sdxs.request import LARGEST_SEED

log = logging.getLogger(__name__)

LONGEST_PROMPT = 1_000_000  # characters; far more than any window, far less than memory
MOST_WAITING = 64  # requests that wait while another picture is being made

BLANK = "Type what you would like to see, and the picture follows."
CROWDED = "Many people are painting just now; the next try may find room."
BROKEN = "Something went wrong while making this picture; the next one may well work."


class Crowded(SDXSError):
    """Too many requests wait already."""


@dataclass(frozen=True)
class Made:
    """A finished file, the milliseconds it took, and a warning about the request or ""."""

    file: bytes
    ms: float
    warning: str


class Studio:
    """Answers requests, one picture in the making at a time, first come, first served.

    `generate(prompt, seed=...)` gives the picture; `choices` are further keywords that a request
    may carry, such as "decoder", and the values that it may name.
    """

    def __init__(
        self,
        generate: Callable[..., Image.Image],
        *,
        choices: Mapping[str, Sequence[str]] | None = None,
        checkpoint: str = "",
    ) -> None:
        self._generate = generate
        self._choices = choices or {}
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
        picture = data_url(made.file, "jpeg")
        kind = "warning" if made.warning else ""
        return {"picture": picture, "ms": made.ms, "note": made.warning, "kind": kind}

    async def download(self, request: Any) -> dict[str, Any]:
        """Answer the download button: the picture again, as a PNG with its parameters inside."""
        wanted = self._wanted(request)
        try:
            made = await self.make(**wanted, format="png")
            name = file_name(wanted["prompt"], wanted["seed"])
        except Exception as error:
            return _mishap(error)
        return {"file": data_url(made.file, "png"), "name": name}

    async def make(self, prompt: Any, seed: Any, *, format: str = "jpeg", **chosen: Any) -> Made:
        """Make one picture file. Raises InputError for what makes no sense, Crowded, and whatever
        `generate` raises."""
        prompt, options = parse_prompt(prompt), {"seed": parse_seed(seed), **chosen}
        for name, value in chosen.items():
            if value not in self._choices.get(name, ()):
                raise InputError(f"There is no {name} {_short(value)!r}.")
        if self._waiting >= MOST_WAITING:
            raise Crowded(CROWDED)
        self._waiting += 1
        # A visitor who leaves does not stop the thread, so the turn must not end with the visit.
        return await asyncio.shield(self._in_turn(prompt, options, format))

    def _wanted(self, request: Any) -> dict[str, Any]:
        """The fields that count; whatever else a stranger sent is dropped."""
        request = request if isinstance(request, dict) else {}
        fields = {name: request.get(name) for name in ("prompt", "seed")}
        return fields | {name: request[name] for name in self._choices if request.get(name)}

    async def _in_turn(self, prompt: str, options: dict[str, Any], format: str) -> Made:
        try:
            async with self._turn:
                return await asyncio.to_thread(self._make, prompt, options, format)
        finally:
            self._waiting -= 1

    def _make(self, prompt: str, options: dict[str, Any], format: str) -> Made:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:  # safe: one at a time has the turn
            warnings.simplefilter("always", PromptCutWarning)
            warnings.simplefilter("always", SafetyWarning)
            picture = self._generate(prompt, **options)
        kinds = PromptCutWarning, SafetyWarning
        notes = [_short(w.message, 240) for w in caught if issubclass(w.category, kinds)]
        info = {"prompt": prompt, **options, "checkpoint": self._checkpoint, "software": "sdxs"}
        file = encode(picture, format, info=info)
        ms = round(1000 * (time.perf_counter() - start), 1)
        return Made(file, ms, "; ".join(notes))


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


def _short(value: Any, most: int = 40) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
