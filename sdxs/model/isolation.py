"""Torch as it is when nobody has set anything, whatever modes a program has on for its own work.

A default device, autocast and inference mode belong to the thread, and are set aside for as long as
ours runs. The default dtype belongs to the whole process: what makes tensors here names its own.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

CASTING = ("cpu", "cuda", "mps")  # devices that autocast may be on for


@contextmanager
def isolated() -> Iterator[None]:
    """No gradients, and none of the modes of the caller's."""
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():  # what is made in it could not be written to later
            modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.no_grad())
        for kind in CASTING:
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield
