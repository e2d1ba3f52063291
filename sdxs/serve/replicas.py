"""Who waits for a picture of Ray Serve's replicas: the newest request of a visitor takes the place
of the one before, a replica that dies is asked for once more elsewhere.

Ray says which replica paints what, and how many there are. Knows nothing of what is painted.
"""

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from sdxs.service.painting import Order
from sdxs.service.turns import (
    CROWDED,
    ENDING,
    LONGEST_PAUSE,
    MOST_BYTES,
    MOST_WAITING,
    STALE,
    Crowded,
    Stale,
    Unable,
)

TRIES = 2  # of a picture whose replica died
LOST = "Two painters in a row died of this picture, or with it; ask again in a moment."


@dataclass(eq=False)
class _Visit:
    """A request that is not answered yet. dropped: why it will not be."""

    name: Hashable
    patient: bool
    size: int
    painting: "asyncio.Task[Any]"
    dropped: Exception | None = None

    def drop(self, why: Exception) -> None:
        self.dropped = self.dropped or why
        self.painting.cancel()


class Replicas:
    """In the place of `Turns`, for a page whose pictures are painted by `painters`, each of which
    has turns of its own."""

    broken = False  # Ray starts anew what breaks

    def __init__(self, painters: DeploymentHandle[Any]) -> None:
        self._painters = painters
        self._visits: list[_Visit] = []  # in the order in which they came
        self._ended: deque[float] = deque([time.monotonic()], maxlen=32)
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def take(
        self,
        item: Order,
        kind: Hashable = None,
        name: Hashable = None,
        patient: bool = False,
        size: int = 0,
    ) -> Any:
        """What becomes of an order. Raises Crowded, Unable, Stale, and the exception that becomes
        of it. kind: is for the replicas to see."""
        if self._closed:
            raise Unable(ENDING)
        if name is not None:
            self.drop(name)
        here = [visit for visit in self._visits if visit.patient == patient]
        full = size + sum(visit.size for visit in self._visits) > MOST_BYTES
        if full or len(here) >= MOST_WAITING:
            raise Crowded(CROWDED, self._pause())
        if not self._visits:  # nobody was answered while nobody asked
            self._ended = deque([time.monotonic()], maxlen=32)
        asking = asyncio.ensure_future(self._painted(item, patient))
        visit = _Visit(name, patient, size, asking)
        self._visits.append(visit)
        try:
            outcome = await visit.painting
        except asyncio.CancelledError:
            if visit.dropped:
                raise visit.dropped from None
            raise
        finally:
            self._visits.remove(visit)
        self._ended.append(time.monotonic())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def drop(self, *names: Hashable) -> None:
        """Who has one of these names waits no longer."""
        for visit in self._visits:
            if visit.name in names:
                visit.drop(Stale(STALE))

    def before(self, *names: Hashable) -> int | None:
        """How many came before the first by one of these names; None where nobody has them."""
        order = sorted(self._visits, key=lambda visit: visit.patient)
        places = (place for place, visit in enumerate(order) if visit.name in names)
        return next(places, None)

    def waiting(self) -> int:
        """Requests that are not answered yet."""
        return len(self._visits)

    def end(self) -> None:
        """Whoever waits is told that nothing comes. For any thread."""
        self._closed = True

        def told() -> None:
            for visit in self._visits:
                visit.drop(Unable(ENDING))

        self._loop.call_soon_threadsafe(told)

    async def _painted(self, order: Order, patient: bool) -> Any:
        """Of a replica. Who leaves or is dropped is not painted, unless it has begun."""
        for _ in range(TRIES):
            response = self._painters.paint.remote(order, patient)
            try:
                return await response
            except asyncio.CancelledError:
                response.cancel()  # type: ignore[no-untyped-call]
                raise
            except BackPressureError:
                raise Crowded(CROWDED, self._pause()) from None
            except RayActorError:
                continue
        raise Unable(LOST)

    def _pause(self) -> int:
        """Seconds until all who are here have probably been answered, within bounds."""
        each = (time.monotonic() - self._ended[0]) / len(self._ended)
        return min(max(1, round(each * len(self._visits))), LONGEST_PAUSE)
