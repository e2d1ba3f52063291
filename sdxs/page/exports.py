"""Films of a walk, made while the page goes on: a frame is painted when nobody waits for a picture.

One for each visitor at a time, and not too many of them. A film that nobody asks after any more is
given up. Knows nothing of Gradio, torch or browsers.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

from sdxs import arguments, film, walks
from sdxs.errors import InputError, SDXSError, one_line
from sdxs.page.answers import Answers, mishap
from sdxs.service.drawings import data_url
from sdxs.service.painting import Still, file_name
from sdxs.service.turns import Crowded

FORMATS = {suffix.removeprefix("."): suffix for suffix in film.SUFFIXES}
COUNTS = 24, 48, 96, 240  # of frames, to choose from
MOST_PIXELS = 64_000_000  # of all frames
MOST_FILMS = 4  # in the making
RETRY_AFTER = 10  # seconds that who finds no room is told to stay away
PATIENCE = 30  # seconds without being asked after, as when the visitor has left
HASTE = 3  # the same, where others wait for room
FORGOTTEN = "This film is not there any more: export it again."
CROWDED = "Many people are making films just now; the next try may find room."
NOWHERE = "say where to: another prompt, another seed, or both"


class Gone(SDXSError):
    """Nobody wants the film any more."""


class Progress(TypedDict, total=False):
    """All that the server says to walk.js of a film; what there is not is missing from it."""

    done: int  # frames that are painted
    of: int  # frames that there will be
    file: str  # the film, a data URL
    name: str  # what to call it
    note: str  # one line for the visitor
    kind: str  # of note, see class Answer


@dataclass(eq=False)
class Job:
    """A film in the making. watched: it is given up where nobody asks after it."""

    given: dict[str, Any]
    frames: int
    format: str
    loop: bool
    watched: bool = True
    done: int = 0
    note: str = ""
    seen: float = field(default_factory=time.monotonic)
    stopped: bool = False
    pending: "Future[Still] | None" = None
    task: "asyncio.Task[bytes] | None" = None

    def name(self) -> str:
        return f"walk-{file_name(self.given['prompt'], self.given['seed'], self.format)}"

    def stop(self) -> None:
        self.stopped = True
        if self.pending:
            self.pending.cancel()

    def is_over(self, patience: float) -> bool:
        late = self.watched and time.monotonic() - self.seen > patience
        return self.stopped or late


class Exports:
    """Makes films for the visitors of a page, whose pictures are the business of `answers`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._jobs: dict[str, Job] = {}  # by visitor
        width, height = answers.about.size
        self.most = max(2, min(COUNTS[-1], MOST_PIXELS // (width * height)))
        self.counts = [count for count in COUNTS if count <= self.most] or [self.most]

    async def begin(self, asked: Any) -> Progress:
        """A visitor's film, in the place of one that is in the making: {visitor, request, frames,
        format, loop}."""
        asked = asked if isinstance(asked, dict) else {}
        visitor = _visitor(asked)
        self._forget(visitor)
        try:
            self._jobs[visitor] = self._begun(asked, watched=True)
        except SDXSError as error:
            return _mishap(error)
        return self._progress(self._jobs[visitor])

    async def progress(self, asked: Any) -> Progress:
        """How far a visitor's film is; at the end the film, or why there is none."""
        visitor = _visitor(asked if isinstance(asked, dict) else {})
        job = self._jobs.get(visitor)
        if job is None or job.task is None:
            return {"note": FORGOTTEN, "kind": "error"}
        job.seen = time.monotonic()
        if not job.task.done():
            return self._progress(job)
        del self._jobs[visitor]
        try:
            file = data_url(job.task.result(), job.format)
        except Exception as error:
            return _mishap(error)
        return {**self._progress(job), "file": file, "name": job.name(), "note": job.note}

    async def stop(self, asked: Any) -> Progress:
        """A visitor wants their film no more."""
        self._forget(_visitor(asked if isinstance(asked, dict) else {}))
        return {}

    async def make(self, asked: Mapping[str, Any]) -> tuple[str, bytes]:
        """A film for a program that waits for it: a name for the file, and what is in it. Raises
        InputError, Crowded, and whatever painting raises."""
        job = self._begun(asked, watched=False)
        assert job.task
        self._jobs[str(id(job))] = job
        try:
            return job.name(), await job.task
        finally:
            self._forget(str(id(job)))

    def _begun(self, asked: Mapping[str, Any], watched: bool) -> Job:
        request = asked.get("request")
        given = self._answers.checked(request if isinstance(request, dict) else {})
        if "walk" not in given:
            raise InputError(NOWHERE)
        frames = walks.frame_count(asked.get("frames"), self.most)
        format = arguments.choice("format", asked.get("format"), list(FORMATS))
        film.check_file(Path(f"walk{FORMATS[format]}"))
        patience = HASTE if len(self._jobs) >= MOST_FILMS else PATIENCE
        for visitor, job in list(self._jobs.items()):
            if job.is_over(patience):  # whoever left, and what they did not fetch
                self._forget(visitor)
        if len(self._jobs) >= MOST_FILMS:
            raise Crowded(CROWDED, RETRY_AFTER)
        job = Job(given, frames, format, asked.get("loop") is True, watched)
        job.task = asyncio.create_task(self._made(job))
        return job

    async def _made(self, job: Job) -> bytes:
        """The film. It is written in a thread, which waits for the frames."""
        way = [walks.Waypoint("", 0), walks.Waypoint("", 1)]  # whatever they are
        steps = walks.steps(way, job.frames, job.loop)
        stops = [step.walk if step.start is way[0] else 1 - step.walk for step in steps]
        first = await self._answers.still({**job.given, "walk": stops[0]})
        loop = asyncio.get_running_loop()
        frames = itertools.chain([self._taken(job, first)], self._frames(job, stops[1:], loop))
        label = self._answers.labels.of(first.given)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"walk{FORMATS[job.format]}"
            await asyncio.to_thread(
                film.write,
                file,
                frames,
                count=job.frames,
                loop=job.loop,
                label=label.of_film(frames=job.frames, fps=film.FPS, loop=job.loop),
                marker=self._answers.labels.marker,
            )
            return file.read_bytes()

    def _frames(
        self, job: Job, stops: list[float], loop: asyncio.AbstractEventLoop
    ) -> Iterator[Image.Image]:
        """The frames, for another thread than the loop's."""
        for walk in stops:
            if job.is_over(PATIENCE):
                raise Gone(FORGOTTEN)
            still = self._answers.still({**job.given, "walk": walk})
            job.pending = asyncio.run_coroutine_threadsafe(still, loop)
            try:
                yield self._taken(job, job.pending.result())
            except CancelledError:
                raise Gone(FORGOTTEN) from None

    @staticmethod
    def _taken(job: Job, still: Still) -> Image.Image:
        job.given, job.done = still.given, job.done + 1
        job.note = job.note or "; ".join(map(one_line, still.painted.warnings))
        return still.painted.picture

    @staticmethod
    def _progress(job: Job) -> Progress:
        return {"done": job.done, "of": job.frames}

    def _forget(self, visitor: str) -> None:
        job = self._jobs.pop(visitor, None)
        if job and job.task:
            job.stop()
            job.task.add_done_callback(_heard)


def _visitor(asked: Mapping[str, Any]) -> str:
    """Whose film it is: a word that the browser made up."""
    return str(asked.get("visitor") or "")[:64]


def _heard(task: "asyncio.Task[bytes]") -> None:
    """What becomes of a film that nobody wants is nobody's business."""
    with suppress(Exception, asyncio.CancelledError):
        task.result()


def _mishap(error: Exception) -> Progress:
    said = mishap(error)
    return {"note": said["note"], "kind": said["kind"]}
