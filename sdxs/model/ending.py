"""Torch at work: in the modes that it has when nobody has set anything, and in no fork.

The program's end waits for it, see `sdxs.ending`.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from sdxs import ending, zero
from sdxs.model.isolation import isolated

P = ParamSpec("P")
R = TypeVar("R")


def at_work(function: Callable[P, R]) -> Callable[P, R]:
    """A function of torch's, `isolated`, which the program's end waits for. It is none that
    another such function calls. A daemon thread that comes after the end stays here."""

    @functools.wraps(function)
    def work(*arguments: P.args, **options: P.kwargs) -> R:
        with isolated(), ending.under_way():
            return function(*arguments, **options)

    return work


class Home:
    """The process in which torch has computed; begun: whether it has by now."""

    def __init__(self, *, begun: bool) -> None:
        self._process = ending.Process(begun=begun)

    def check(self, device: torch.device) -> None:
        """Raises SDXSError in a fork, where torch would wait for its threads for ever."""
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        lent = device.type == "cuda" and zero.is_lent()  # to a fork, and to nobody else
        self._process.check(forks=alone or lent)
