"""Where the stages compute, and how: on CUDA if it is there, in bfloat16 where that is safe.

Of several ranks on a machine each has a card of its own (LOCAL_RANK, as launchers set it).

Chance is always drawn on the CPU and then moved, so that it does not depend on the machine.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = os.environ.get("LOCAL_RANK")
    return torch.device("cuda", int(local) % torch.cuda.device_count() if local else None)


DEVICE = _device()


def placed(part: Any) -> Any:
    """A network, or what it is given, on the device, in the layout that convolutions like there."""
    return part.to(DEVICE, memory_format=torch.channels_last)


def short_attention() -> AbstractContextManager[None]:
    """Attention by plain matrix products: on a CPU and with a few dozen tokens, training is faster
    so than with the blocked kernel that torch would choose."""
    return sdpa_kernel(SDPBackend.MATH) if DEVICE.type == "cpu" else nullcontext()


@contextmanager
def fast() -> Iterator[None]:
    """How the stages run a network: short attention, products in bfloat16."""
    with short_attention(), torch.autocast(DEVICE.type, torch.bfloat16):
        yield
