"""Who is next: first come, first served, those who wait for work of one kind together, and not too
many who wait; those who are patient when nobody else waits.

Knows nothing of what the work is.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sdxs.errors import InputError, SDXSError

MOST_WAITING = 64  # requests that wait or whose work is being done
CROWDED = "Many people are painting just now; the next try may find room."
STALE = "Something newer has been asked for."

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crowded(SDXSError):
    """Too many requests wait already."""


class Stale(SDXSError):
    """A patient request was dropped before its turn."""


@dataclass(frozen=True, eq=False)
class _Place(Generic[Item, Result]):
    """A visitor's place in the queue; who leaves cancels the outcome."""

    item: Item
    kind: Hashable
    patient: Hashable
    outcome: asyncio.Future[Result | Exception]


class Turns(Generic[Item, Result]):
    """Has work done in a thread, a turn at a time.

    When a turn begins, the first who waits goes, with others who wait already and are of the same
    kind; nobody waits for company. Who is patient goes when nobody else waits, and may be dropped
    until then, by the name that `patient` is. `work(items)` gives the outcome of each item, in
    order: a result or an exception. together: items in a turn at most, others are an InputError
    below 1.
    """

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Result | Exception]], together: int = 1
    ) -> None:
        if together < 1:
            raise InputError(f"together must be 1 or more, not {together}")
        self._work, self._together = work, together
        self._waiting: list[_Place[Item, Result]] = []  # in the order in which they came
        self._working = 0  # items of the turn that goes on
        self._server: asyncio.Task[None] | None = None

    async def take(self, item: Item, kind: Hashable = None, patient: Hashable = None) -> Result:
        """Wait for a turn, then for what the work makes of the item. Raises Crowded, Stale, the
        exception that is the item's outcome, and whatever the work raises."""
        self._waiting = self._present()
        # the patient take no room from the others
        alike = [place for place in self._waiting if (place.patient is None) == (patient is None)]
        if len(alike) + self._working >= MOST_WAITING:
            raise Crowded(CROWDED)
        outcome: asyncio.Future[Result | Exception] = asyncio.get_running_loop().create_future()
        place = _Place[Item, Result](item, kind, patient, outcome)
        self._waiting.append(place)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve())
        result = await place.outcome
        if isinstance(result, Exception):
            raise result
        return result

    def drop(self, *patient: Hashable) -> None:
        """The patient of these names wait no longer; what is being worked on goes on."""
        for place in self._present():
            if place.patient in patient:
                place.outcome.set_result(Stale(STALE))

    def waiting(self) -> int:
        """Requests that wait or whose work is being done."""
        return len(self._present()) + self._working

    async def _serve(self) -> None:
        """A turn after the other while somebody waits. It is nobody's visit: whoever leaves does
        not end a turn, the thread would go on."""
        while places := self._next():
            self._working = len(places)
            try:
                outcomes = await asyncio.to_thread(self._worked, [place.item for place in places])
            finally:
                self._working = 0
            for place, outcome in zip(places, outcomes, strict=True):
                if not place.outcome.done():
                    place.outcome.set_result(outcome)

    def _next(self) -> list[_Place[Item, Result]]:
        """Whose turn it is, nobody's if nobody waits."""
        waiting = self._present()
        first = [place for place in waiting if place.patient is None] or waiting
        going = [place for place in first if place.kind == first[0].kind][: self._together]
        self._waiting = [place for place in waiting if place not in going]
        return going

    def _present(self) -> list[_Place[Item, Result]]:
        """Those who wait, have not left, and were not dropped."""
        return [place for place in self._waiting if not place.outcome.done()]

    def _worked(self, items: list[Item]) -> Sequence[Result | Exception]:
        """The items' outcomes; where the work itself fails, that is the outcome of each."""
        try:
            return self._work(items)
        except Exception as error:
            return [error] * len(items)
