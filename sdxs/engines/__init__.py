"""The engines that there are, and which one runs a model.

A new engine is a class as `sdxs.model.engine.Engine` describes, made of an opened checkpoint, and a
row in `ENGINES`.
"""

import functools
import logging
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

from sdxs.errors import NEEDS_TORCH, InputError

if find_spec("torch") is None:
    sys.exit(NEEDS_TORCH)

import torch

from sdxs.arguments import choice
from sdxs.checkpoint.open import Facts, Opened, Places
from sdxs.engines.captured import CapturedEngine
from sdxs.engines.facts import RUNTIMES, recall
from sdxs.engines.graphs import GraphEngine
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.prepared import eager_engine
from sdxs.engines.recorder import Compiled, CudaGraphs, Recorder
from sdxs.engines.runtime import Unavailable
from sdxs.model.eager import EagerEngine
from sdxs.model.engine import Engine

log = logging.getLogger(__name__)

AUTO, EAGER = "auto", "eager"
DEFAULT = "SDXS_ENGINE"  # environment variable: what "auto" is
LITE = f", or {DEFAULT}=lite be set for a folder of graphs, before anything is imported"

RECORDERS: tuple[type[Recorder], ...] = (CudaGraphs, Compiled)


def _eager(opened: Opened, device: torch.device, dtype: torch.dtype) -> EagerEngine:
    return eager_engine(opened.parts, device, dtype)


def _auto(opened: Opened, device: torch.device, dtype: torch.dtype) -> Engine:
    if FASTEST[device.type] == CudaGraphs.name:
        return CapturedEngine(CudaGraphs, opened, device, dtype, waits=False)
    return GraphEngine(OpenVINO, opened, device, dtype, waits=False)


ENGINES: dict[str, Callable[[Opened, torch.device, torch.dtype], Engine]] = {
    EAGER: _eager,
    **{each.name: functools.partial(GraphEngine, each, waits=True) for each in RUNTIMES.values()},
    **{each.name: functools.partial(CapturedEngine, each, waits=True) for each in RECORDERS},
    AUTO: _auto,
}
CHECKS: dict[str, Callable[[torch.device, torch.dtype], None]] = {  # raise Unavailable
    **{each.name: each.check for each in RUNTIMES.values()},
    **{each.name: each.check for each in RECORDERS},
}
FASTEST = {"cpu": OpenVINO.name, "cuda": CudaGraphs.name}  # by kind of device; eager on others


def choose_engine(engine: str, device: torch.device, dtype: torch.dtype) -> str:
    """The row of `ENGINES` for a device and dtype; "auto" is there only where it is not eager.

    Raises InputError for an unknown one, for one that is asked for by name and cannot be had.
    """
    known = (AUTO, *(name for name in ENGINES if name != AUTO))
    asked = choice("engine", engine, known, LITE if engine == "lite" else "")
    if asked == AUTO and (default := os.environ.get(DEFAULT)):
        asked = choice(DEFAULT, default, known)
    name = FASTEST.get(device.type, EAGER) if asked == AUTO else asked
    if name == EAGER:
        return EAGER
    try:
        CHECKS[name](device, dtype)
    except Unavailable as reason:
        if asked != AUTO:
            raise InputError(f"engine {asked!r} cannot be had: {reason}") from None
        if reason.notable:
            log.warning("painting without %s, slower: %s", name, reason)
        return EAGER
    return asked


def recall_for(engine: str, device: torch.device) -> Callable[[Places], Facts | None]:
    """What an engine remembers of a checkpoint, so that it paints without having read its networks:
    nothing, but for one with stored graphs."""
    name = FASTEST.get(device.type, EAGER) if engine == AUTO else engine
    return recall if name in RUNTIMES else lambda places: None
