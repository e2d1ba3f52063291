"""What is tried when a network fails at load: the one order of remedies, for every network.

Numbers that are not finite ask for another dtype on the same device, the decoders' alone first; a
kernel that a device lacks for a dtype the same, or another device; all else, memory or the driver,
another device. Where nothing is left to try, one line says what helps.
"""

import logging
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch

from sdxs import zero
from sdxs.errors import InputError, NotFiniteError, SDXSError, one_line, option
from sdxs.model.hardware import choose_device, choose_dtype

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32
CPU = torch.device("cpu")
NEXT = {  # dtype of all networks but the decoders, and theirs -> what is tried after it
    (F16, F16): (F16, F32),
    (F16, F32): (F32, F32),
    (BF16, BF16): (F32, F32),
}
NO_MEMORY = re.compile("out of memory|allocate memory|ALLOC_FAILED", re.IGNORECASE)
NO_KERNEL = re.compile("not (currently )?implemented", re.IGNORECASE)

log = logging.getLogger(__name__)

Made = TypeVar("Made")


class Setup(NamedTuple):
    """Where networks compute, and in what."""

    device: torch.device
    dtype: torch.dtype
    decoders: torch.dtype

    @property
    def doubtful(self) -> bool:
        """Whether it has to be tried. What a CPU does in its own dtypes it does everywhere; a GPU
        that is lent is not there yet."""
        return bool(self.device != CPU or self.dtype == F16) and not zero.is_lent()

    def __str__(self) -> str:
        dtype, decoders = (str(each).removeprefix("torch.") for each in self[1:])
        alone = f", decoders in {decoders}" if decoders != dtype else ""
        return f"{self.device} in {dtype}{alone}"


def setups(device: str | torch.device, dtype: str | torch.dtype) -> list[Setup]:
    """All that may be tried, the best first; what is asked for by name stays. Raises InputError."""
    places = [choose_device(device)]
    if device == "auto" and places != [CPU]:
        places.append(CPU)
    found = []
    for place in places:
        best = choose_dtype(dtype, place)
        pair: tuple[torch.dtype, torch.dtype] | None = (best, best)
        while pair and (dtype == "auto" or pair[0] == best):
            found.append(Setup(place, *pair))
            pair = NEXT.get(pair)
    return found


def first_that_works(tried: Sequence[Setup], make: Callable[[Setup], Made]) -> Made:
    """What `make` makes of the first setup with which it does not fail; what failed before is said
    once. Raises SDXSError."""
    left, failed = list(tried), list[str]()
    last: Exception | None = None
    while True:
        setup = left.pop(0)
        try:
            made = make(setup)
        except InputError as error:  # an engine that is asked for by name, for another device
            raise last or error from None
        except (NotFiniteError, RuntimeError, MemoryError) as error:
            while left and not _may_help(left[0], setup, error):
                del left[0]
            failed.append(f"{setup}: {_reason(error)}")
            last = _final(error, setup)
            if not left:
                raise last from None
        else:
            if failed:
                log.warning("painting on %s, because of %s", setup, "; ".join(failed))
            return made


def _may_help(other: Setup, failed: Setup, error: Exception) -> bool:
    elsewhere = bool(other.device != failed.device)
    if isinstance(error, NotFiniteError):
        return not elsewhere
    return elsewhere or bool(NO_KERNEL.search(str(error)))


def _reason(error: Exception) -> str:
    if isinstance(error, NotFiniteError):
        return "numbers that are not finite"
    if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
        return "too little memory"
    return one_line(str(error).strip().partition("\n")[0], 150)


def _final(error: Exception, setup: Setup) -> Exception:
    """What is raised where no other setup may help; an error of ours on a CPU stays as it is."""
    reason = _reason(error)
    if isinstance(error, NotFiniteError):
        return error
    if setup.device != CPU:
        return SDXSError(f"{setup} fails ({reason}): use {option('device', 'cpu')}")
    if reason == "too little memory":
        remedy = "end other programs, or choose a smaller checkpoint"
        if setup.dtype == F32:
            remedy += f", or {option('dtype', 'bfloat16')}"
        return SDXSError(f"{setup} fails ({reason}): {remedy}")
    if NO_KERNEL.search(str(error)):
        return SDXSError(f"{setup} fails ({reason}): use {option('dtype', 'float32')}")
    return error
