"""What is under way in threads that a program does not wait for, until it has ended.

Python stops such a thread wherever it asks for the interpreter next. In the middle of a library's
C++ that ends the whole program with an abort, so the program's end waits for the picture that is
being painted, and no other one begins. A fork has none of that library's threads, so what has
computed before it computes in the first process alone. Knows nothing of which library it is.
"""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sdxs.errors import SDXSError

LONGEST = 60  # seconds that a program's end waits

_running = 0
_ending = False
_changed = threading.Condition()


@contextmanager
def under_way() -> Iterator[None]:
    """What the program's end waits for. Not within another one. A daemon thread that comes after
    the end stays here."""
    global _running
    if not threading.current_thread().daemon:
        yield
        return
    with _changed:
        _changed.wait_for(lambda: not _ending)
        _running += 1
    try:
        yield
    finally:
        with _changed:
            _running -= 1
            _changed.notify_all()


@atexit.register
def _end() -> None:
    global _ending
    with _changed:
        _ending = True
        _changed.wait_for(lambda: not _running, LONGEST)


class Process:
    """The process in which a model has computed; begun: whether it has by now."""

    def __init__(self, *, begun: bool) -> None:
        self._first = os.getpid() if begun else None

    def check(self, *, forks: bool) -> None:
        """forks: whether a fork can go on. Raises SDXSError in one that cannot: it would wait for
        its threads for ever."""
        self._first = self._first or os.getpid()
        if self._first != os.getpid() and not forks:
            raise SDXSError(
                "this model was loaded before the process forked, and computes in the first one "
                "alone: load it in each process, or start them by spawn"
            )
