"""What is under way in threads that a program does not wait for, until it has ended.

Python stops such a thread wherever it asks for the interpreter next. In the middle of torch's C++
that ends the whole program with an abort, so the program's end waits for the picture that is being
painted, and no other one begins. A fork has none of torch's threads, so what has computed before it
computes in the first process alone.
"""

import atexit
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from sdxs import zero
from sdxs.errors import SDXSError
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


class Home:
    """The process in which torch has computed; begun: whether it has by now."""

    def __init__(self, *, begun: bool) -> None:
        self._process = os.getpid() if begun else None

    def check(self, device: torch.device) -> None:
        """Raises SDXSError in a fork, where torch would wait for its threads for ever."""
        self._process = self._process or os.getpid()
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        lent = device.type == "cuda" and zero.is_lent()  # to a fork, and to nobody else
        if self._process != os.getpid() and not (alone or lent):
            raise SDXSError(
                "this model was loaded before the process forked, and computes in the first one "
                "alone: load it in each process, or start them by spawn"
            )
