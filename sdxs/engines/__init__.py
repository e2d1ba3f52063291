"""The engines that there are, and which one runs a model.

A new engine is a class as `sdxs.model.engine.Engine` describes, made of an opened checkpoint, and a
row in `ENGINES`.
"""

import functools
import logging
import os
from collections.abc import Callable

import torch

from sdxs.arguments import choice
from sdxs.checkpoint.open import Opened
from sdxs.engines.convert import RUNTIMES
from sdxs.engines.graphs import GraphEngine
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Unavailable
from sdxs.errors import InputError
from sdxs.model.eager import EagerEngine
from sdxs.model.engine import Engine

log = logging.getLogger(__name__)

AUTO, EAGER = "auto", "eager"
DEFAULT = "SDXS_ENGINE"  # environment variable: what "auto" is


def _eager(opened: Opened, device: torch.device, dtype: torch.dtype) -> EagerEngine:
    return EagerEngine(opened.networks, opened.one_step, device, dtype)


ENGINES: dict[str, Callable[[Opened, torch.device, torch.dtype], Engine]] = {
    EAGER: _eager,
    **{
        name: functools.partial(GraphEngine, runtime, waits=True)
        for name, runtime in RUNTIMES.items()
    },
    AUTO: functools.partial(GraphEngine, OpenVINO, waits=False),
}


def choose_engine(engine: str, device: torch.device, dtype: torch.dtype) -> str:
    """The row of `ENGINES` for a device and dtype; "auto" is there only where it is not eager.

    Raises InputError for an unknown one, for one that is asked for by name and cannot be had.
    """
    names = (AUTO, *(name for name in ENGINES if name != AUTO))
    asked = choice("engine", engine, names)
    if asked == AUTO and (default := os.environ.get(DEFAULT)):
        asked = choice(DEFAULT, default, names)
    if asked == EAGER:
        return EAGER
    try:
        RUNTIMES.get(asked, OpenVINO).check(device, dtype)
    except Unavailable as reason:
        if asked != AUTO:
            raise InputError(f"engine {asked!r} cannot be had: {reason}") from None
        if reason.notable:
            log.warning("painting without %s, slower: %s", OpenVINO.name, reason)
        return EAGER
    return asked
