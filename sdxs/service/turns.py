"""Who is next: first come, first served, those who wait for work of one kind together, and not too
many who wait; those who are patient when nobody else waits.

Who has a name has one thing waiting: what they ask for next takes its place. A turn that takes too
long is given up, and the next one goes on without it. Knows nothing of what the work is.
"""

import asyncio
import contextvars
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from sdxs.errors import InputError, SDXSError
from sdxs.service.worker import Worker

log = logging.getLogger(__name__)

MOST_WAITING = 256  # that wait or whose work is being done; the patient are counted by themselves
MOST_BYTES = 256 * 2**20  # of all that waits
LONGEST_PAUSE = 60  # seconds that anybody is told to stay away
PATIENCE = 60.0  # seconds that a turn may take
FIRST_PATIENCE = 600.0  # the first of its kind, for which networks may be compiled; loading, too
LATELY = 600.0  # seconds in which a second turn that is given up is one too many
CROWDED = "Many people are painting just now; the next try may find room."
STALE = "Something newer has been asked for."
ENDING = "The server is about to start anew; ask again in a moment."
STUCK = "This picture takes too long (more than {:g} s): it was given up, and the next may work."
LOST = "The model has to be loaded anew, and that failed; ask again in a minute."

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = TypeVar("Outcome")


class NotNow(SDXSError):
    """The same request may well succeed later. retry_after: whole seconds, 1 or more."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crowded(NotNow):
    """Too many requests wait already."""


class Unable(NotNow):
    """The server is about to end, or cannot load its model."""


class Stale(SDXSError):
    """A request was dropped before its turn: its visitor wants something else."""


class Stuck(SDXSError):
    """The turn was given up."""


@dataclass(frozen=True, eq=False)
class _Place(Generic[Item, Result]):
    """A visitor's place in the queue; who leaves cancels the outcome. context: in which they asked;
    a turn is that of its first."""

    item: Item
    kind: Hashable
    name: Hashable
    patient: bool
    size: int
    outcome: asyncio.Future[Result | Exception]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class Turns(Generic[Item, Result]):
    """Has work done in a thread, a turn at a time.

    When a turn begins, the first who waits goes, with others who wait already and are of the same
    kind; nobody waits for company. Who is patient goes when nobody else waits. `work(items)` gives
    the outcome of each item, in order: a result or an exception. together: items in a turn at most,
    others are an InputError below 1. patience: seconds that a turn may take, but for the first of
    its kind. After one that was given up, in whose thread the work may still go on, `renew` is
    called before the next turn. broken: that has happened twice within ten minutes, or renewing
    failed: this program had better be started anew.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result | Exception]],
        together: int = 1,
        *,
        patience: float = PATIENCE,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        if together < 1:
            raise InputError(f"together must be 1 or more, not {together}")
        self.broken = False
        self._work, self._together = work, together
        self._patience, self._renew = patience, renew
        self._waiting: list[_Place[Item, Result]] = []  # in the order in which they go
        self._working: list[_Place[Item, Result]] = []  # whose turn goes on
        self._server: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Worker | None = None
        self._known: set[Hashable] = set()  # kinds of which there was a turn
        self._lately: deque[float] = deque([0.0], maxlen=32)  # seconds an item
        self._given_up = -math.inf  # when a turn was
        self._lost = False  # what the work needs, with a thread
        self._ended = False

    async def take(
        self,
        item: Item,
        kind: Hashable = None,
        name: Hashable = None,
        patient: bool = False,
        size: int = 0,
    ) -> Result:
        """Wait for a turn, then for what the work makes of the item. name: who asks, and for what
        use; what waits by the same name is Stale, and this has its place. size: bytes.

        Raises Crowded, Unable, Stale, Stuck, the exception that is the item's outcome, and whatever
        the work raises."""
        if self._ended:
            raise Unable(ENDING)
        self._waiting = self._present()
        self._loop = asyncio.get_running_loop()
        place = _Place[Item, Result](
            item, kind, name, patient, size, outcome=self._loop.create_future()
        )
        self._queue(place)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve())
        result = await place.outcome
        if isinstance(result, Exception):
            raise result
        return result

    def drop(self, *names: Hashable) -> None:
        """Who has one of these names waits no longer; what is being worked on goes on."""
        _tell((place for place in self._present() if place.name in names), Stale(STALE))

    def before(self, *names: Hashable) -> int | None:
        """How many go before the first who waits by one of these names, those included whose turn
        goes on; None where nobody waits by them."""
        order = sorted(self._present(), key=lambda place: place.patient)
        places = [number for number, place in enumerate(order) if place.name in names]
        return len(self._working) + places[0] if places else None

    def end(self) -> None:
        """Everybody is told that the server is about to end, whoever is to come and whose turn goes
        on included. For any thread."""
        self._ended = True
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(
                lambda: _tell([*self._working, *self._waiting], Unable(ENDING))
            )

    def _queue(self, place: _Place[Item, Result]) -> None:
        """Raises Crowded."""
        for number, other in enumerate(self._waiting):
            if place.name is not None and place.name == other.name:
                _tell([other], Stale(STALE))
                self._waiting[number] = place
                return
        # the patient take no room from the others
        alike = [other for other in self._waiting if other.patient == place.patient]
        size = place.size + sum(other.size for other in self._waiting)
        if len(alike) + len(self._working) >= MOST_WAITING or size > MOST_BYTES:
            raise Crowded(CROWDED, self._pause())
        self._waiting.append(place)

    def _pause(self) -> int:
        """Seconds until all who are here have probably had their turn, within bounds."""
        here = len(self._waiting) + len(self._working)
        seconds = here * sum(self._lately) / len(self._lately)
        return min(max(1, math.ceil(seconds)), LONGEST_PAUSE)

    def waiting(self) -> int:
        """Requests that wait or whose work is being done."""
        return len(self._present()) + len(self._working)

    async def _serve(self) -> None:
        """A turn after the other while somebody waits. It is nobody's visit: whoever leaves does
        not end a turn, the thread would go on."""
        while places := self._next():
            self._working = places
            try:
                outcomes = await self._turn(places)
            finally:
                self._working = []
            for place, outcome in zip(places, outcomes, strict=True):
                _tell([place], outcome)

    def _next(self) -> list[_Place[Item, Result]]:
        """Whose turn it is, nobody's if nobody waits."""
        waiting = self._present()
        first = [place for place in waiting if not place.patient] or waiting
        going = [place for place in first if place.kind == first[0].kind][: self._together]
        self._waiting = [place for place in waiting if place not in going]
        return going

    def _present(self) -> list[_Place[Item, Result]]:
        """Those who wait, have not left, and were not dropped."""
        return [place for place in self._waiting if not place.outcome.done()]

    async def _turn(self, places: list[_Place[Item, Result]]) -> Sequence[Result | Exception]:
        """The outcomes of one turn."""
        if self._lost and not await self._renewed():
            return [Unable(LOST, LONGEST_PAUSE)] * len(places)
        kind, start = places[0].kind, time.monotonic()
        patience = self._patience if kind in self._known else FIRST_PATIENCE
        work = partial(places[0].context.run, self._worked, [place.item for place in places])
        try:
            outcomes = await self._within(patience, work)
        except TimeoutError:
            log.error("a turn took more than %g s and was given up", patience)
            now = time.monotonic()
            self.broken |= now - self._given_up < LATELY
            self._given_up, self._lost = now, True
            return [Stuck(STUCK.format(patience))] * len(places)
        self._known.add(kind)
        self._lately.append((time.monotonic() - start) / len(places))
        return outcomes

    async def _renewed(self) -> bool:
        """Whether what the work needs is there again, which a thread may hold that was given up."""
        try:
            await self._within(FIRST_PATIENCE, self._renew)
        except Exception:
            log.exception("what a turn that was given up may hold could not be made anew")
            self.broken = True
            return False
        self._lost = False
        return True

    async def _within(self, seconds: float, work: Callable[[], Outcome]) -> Outcome:
        """What the work gives, in the worker's thread. Raises what it raises, and TimeoutError: the
        thread is then left to itself."""
        self._worker = self._worker or Worker()
        doing = asyncio.wrap_future(self._worker.do(work))
        try:
            return await asyncio.wait_for(doing, seconds)
        except TimeoutError:
            self._worker = None
            raise

    def _worked(self, items: list[Item]) -> Sequence[Result | Exception]:
        """The items' outcomes; where the work itself fails, that is the outcome of each."""
        try:
            return self._work(items)
        except Exception as error:
            return [error] * len(items)


def _tell(places: Iterable[_Place[Item, Result]], outcome: Result | Exception) -> None:
    """Those who have not left yet, and were not told anything else."""
    for place in places:
        if not place.outcome.done():
            place.outcome.set_result(outcome)
