"""Who is next: one piece of work at a time, first come, first served, and not too many who wait.

Knows nothing of what the work is.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sdxs.errors import SDXSError

MOST_WAITING = 64  # requests that wait while another one's work is done
CROWDED = "Many people are painting just now; the next try may find room."

Result = TypeVar("Result")


class Crowded(SDXSError):
    """Too many requests wait already."""


class Turns:
    """Has work done in a thread, one piece at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)  # its queue is first in, first out
        self._waiting = 0

    async def take(self, work: Callable[[], Result]) -> Result:
        """Wait for a turn, then do the work. Raises Crowded, and whatever the work raises."""
        if self._waiting >= MOST_WAITING:
            raise Crowded(CROWDED)
        self._waiting += 1
        try:
            await self._turn.acquire()  # who leaves before it begins costs nothing
        except BaseException:
            self._waiting -= 1
            raise
        # A visitor who leaves does not stop the thread, so the turn must not end with the visit.
        return await asyncio.shield(self._done(work))

    async def _done(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(work)
        finally:
            self._turn.release()
            self._waiting -= 1
