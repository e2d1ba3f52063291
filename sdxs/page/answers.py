"""From a stranger's request to an answer: the part of a page that needs no page.

Has made what a request asks for, and turns every mishap into one line of text. Knows nothing of
Gradio, torch or browsers.
"""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypedDict

from sdxs.errors import SDXSError, one_line, sentence
from sdxs.metadata import reading
from sdxs.service.drawings import LARGEST_CANVAS, bytes_of, data_url
from sdxs.service.labels import LIVE
from sdxs.service.making import Maker
from sdxs.service.painting import LONGEST_NOTE
from sdxs.service.restoring import restored
from sdxs.service.told import told

LONGEST_NAME = 60  # characters of a file's
LONGEST_VISITOR = 64  # characters of what a tab calls itself
SEEDS = 8  # of a strip: those that differ in their last three bits
READERS = 2  # files that are read at the same time

BLANK = "Type what you would like to see, and the picture follows."
EMPTIED = "There is no prompt: this is still the picture before. Type a new one."
SILENT = "says nothing of how it was made"


class Answer(TypedDict, total=False):
    """All that the server says to page.js. Pictures and files are data URLs; what there is not of
    an answer is missing from it."""

    note: str  # one line for the visitor; "" where there is nothing to say
    kind: Literal["hint", "warning", "error"]  # of note: how it looks
    again: bool  # there was no room: the page asks once more by itself
    after: int  # but not before so many seconds
    before: int  # pictures that go before this visitor's, see `place`
    picture: str  # a JPEG; without it the page keeps the one that it shows
    ms: float  # milliseconds from the request's turn to the encoded picture
    stages: dict[str, float]  # where its time went on the server, in milliseconds
    pictures: dict[str, str]  # of a strip: seed -> a JPEG
    control: str  # a PNG: the control image that the picture follows
    plain: str  # a JPEG: the picture without its style, to compare
    file: str  # of a download: the picture as a PNG that says how it was made
    name: str  # of a download: what to call the file
    request: dict[str, Any]  # that made a file's picture, {field: value} as the widgets hold it


class Answers(Maker):
    """Answers the requests of a page, see `Maker` for how it is made. None of the functions that
    give an Answer raises anything."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading = asyncio.Semaphore(READERS)

    async def paint(self, request: Any) -> Answer:
        """Answer the page: the encoded picture, its milliseconds, a note."""
        request = request if isinstance(request, dict) else {}
        if not str(request.get("prompt") or "").strip():
            return {"note": EMPTIED, "kind": "hint"}
        visitor, final = _visitor(request), request.get("final") is True
        self._turns.drop((visitor, "live" if final else "final"))
        if not final:
            self._turns.drop(*_strip(visitor))
        try:
            made = await self.make(request, LIVE, (visitor, "final" if final else "live"), final)
        except Exception as error:
            return mishap(error)
        answer: Answer = {"picture": data_url(made.file, LIVE), "ms": made.ms}
        answer["stages"] = made.stages
        if made.followed:
            answer["control"] = data_url(made.followed, "png")
        if made.plain:
            answer["plain"] = data_url(made.plain, LIVE)
        answer["note"] = made.warning or made.hint
        answer["kind"] = "warning" if made.warning else "hint"
        return answer

    async def place(self, request: Any) -> Answer:
        """How many pictures go before the one that a visitor waits for; nothing where its turn has
        come."""
        visitor = _visitor(request if isinstance(request, dict) else {})
        before = self._turns.before((visitor, "live"), (visitor, "final"))
        return {} if before is None else {"before": before}

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
            if self.about.styles:  # a page may begin with one
                again.setdefault("style", "")
        except SDXSError as error:  # it begins with the name, as that is written
            return {"note": f"{one_line(error, LONGEST_NOTE)}.", "kind": "error"}
        except Exception as error:
            return mishap(error)
        return {"request": again, "note": sentence(note) if note else "", "kind": "hint"}

    async def variety(self, request: Any) -> Answer:
        """Answer the strip of seeds: the pictures of the request with each seed of its block, as
        one batch where `together` allows it. Patient: a strip makes no visitor wait for its turn,
        and goes when its visitor asks for something else."""
        request = request if isinstance(request, dict) else {}
        names, taken = _strip(_visitor(request)), []
        try:
            given = self.checked({**request, "final": False, "compare": False})
            first = given["seed"] - given["seed"] % SEEDS
            seeds = range(first, first + SEEDS)
            taken = [
                asyncio.ensure_future(self._turn({**given, "seed": seed}, LIVE, name, True))
                for seed, name in zip(seeds, names, strict=True)
            ]
            made = await asyncio.gather(*taken)
        except Exception as error:
            for one in taken:
                one.cancel()
            return mishap(error)
        pictures = {
            str(seed): data_url(one.file, LIVE) for seed, one in zip(seeds, made, strict=True)
        }
        return {"pictures": pictures}


def _visitor(request: Mapping[str, Any]) -> Hashable:
    """Who asks: what the tab calls itself, or else somebody who never came before."""
    name = request.get("visitor")
    return name if isinstance(name, str) and 0 < len(name) <= LONGEST_VISITOR else object()


def _strip(visitor: Hashable) -> list[Hashable]:
    """The names of what a visitor's strip waits for."""
    return [(visitor, "strip", number) for number in range(SEEDS)]


def mishap(error: Exception) -> Answer:
    """What a visitor is told of an error."""
    said = told(error)
    if said.again:
        return {"note": said.note, "kind": "hint", "again": True, "after": said.after}
    return {"note": said.note, "kind": "error"}
