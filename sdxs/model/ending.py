"""What is under way in threads that a program does not wait for, until it has ended.

Python stops such a thread wherever it asks for the interpreter next. In the middle of torch's C++
that ends the whole program with an abort, so the program's end waits for the picture that is being
painted, and no other one begins.
"""

import atexit
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from sdxs.model.isolation import isolated

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 60  # seconds that a program's end waits

_running = 0
_ending = False
_changed = threading.Condition()


def at_work(function: Callable[P, R]) -> Callable[P, R]:
    """A function of torch's, `isolated`, which the program's end waits for. It is none that
    another such function calls. A daemon thread that comes after the end stays here."""

    @functools.wraps(function)
    def work(*arguments: P.args, **options: P.kwargs) -> R:
        with isolated(), _under_way():
            return function(*arguments, **options)

    return work


@contextmanager
def _under_way() -> Iterator[None]:
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
