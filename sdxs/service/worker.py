"""A thread that does one thing after another, and that nobody has to wait for.

It keeps no program alive, and ends when its work is done and nobody holds its `Worker` any more.
One for everything, because a library's own threads belong to the one that calls it. Knows nothing
of what the work is.
"""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")
Task = tuple["Future[Any]", Callable[[], Any]]


class Worker:
    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=[self._tasks], name="sdxs-turns", daemon=True).start()
        weakref.finalize(self, self._tasks.put, None)

    def do(self, work: Callable[[], Result]) -> "Future[Result]":
        """What the work gives or raises, when all that was asked for before is done."""
        future: Future[Result] = Future()
        self._tasks.put((future, work))
        return future


def _work(tasks: "queue.SimpleQueue[Task | None]") -> None:
    while task := tasks.get():
        future, work = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        del task, future, work  # while it waits it holds nothing
