"""Ranks: processes that train as one, started by `accelerate launch` or `torchrun`.

Who this one is and what they tell one another. Without a launcher there is one rank, and all of
this does nothing. Rank 0, the main one, alone writes files and shows how far it is; the others wait
for it as long as it takes. One that ends takes the others with it, and the first says why. All see
the same folders. Knows nothing of networks, nor of what is trained.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from sdxs.errors import SDXSError, one_line
from sdxs.train.run.machine import DEVICE

Thing = TypeVar("Thing")
SILENT = timedelta(minutes=30)  # the longest between two gradients, a save included
PATIENCE = timedelta(days=30)  # the longest wait for the main rank; its death is noticed at once
BUCKET = 2**24  # numbers that travel at a time
ENDED, MOMENT = "sdxs/ended", 2.0  # how many ranks have; seconds

_together: Any = None  # the group of all ranks by which they wait and talk, on the CPU


class LostRank(SDXSError):
    """Another rank ended before this one was done."""


def world() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if _together is not None else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if _together is not None else 0


def is_main() -> bool:
    return rank() == 0


def facts() -> dict[str, int]:
    """What a state and a result record: nothing of a single rank."""
    return {"ranks": world()} if world() > 1 else {}


@contextmanager
def joined() -> Iterator[None]:
    """As one of the ranks of a launcher, if there is one. Raises LostRank.

    After an error nothing is closed here: that the process ends is what tells the others.
    """
    global _together
    launched = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1
    if not launched or _together is not None:
        yield
        return
    from accelerate import PartialState

    on_cpu = DEVICE.type == "cpu"
    with _lost():
        PartialState(cpu=on_cpu, backend="gloo" if on_cpu else None, timeout=SILENT)
        _together = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield
    wait()
    _together = None
    dist.destroy_process_group()


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRank(f"another rank has ended ({one_line(error, 120)})") from None


def first_to_end(error: BaseException | None = None) -> bool:
    """Whether this is the rank to say why all end: no other has.

    The main one may keep the record of that, so it stays a moment for those that end alike.
    """
    if world() == 1:
        return True
    if isinstance(error, LostRank) and not is_main():
        return False  # who was lost has said why
    try:
        store = dist.distributed_c10d._get_default_store()  # nothing public has it
        first = store.add(ENDED, 1) == 1
        deadline = time.monotonic() + MOMENT
        while is_main() and store.add(ENDED, 0) < world() and time.monotonic() < deadline:
            time.sleep(0.02)
    except RuntimeError:  # the rank that kept it has ended
        return False
    return bool(first)


def gathered(thing: Thing) -> list[Thing]:
    """What each rank gives, in their order; small things that pickle."""
    if world() == 1:
        return [thing]
    found: list[Any] = [None] * world()
    with _lost():
        dist.all_gather_object(found, thing, group=_together)
    return found


def wait() -> None:
    """Until all ranks are here."""
    if world() > 1:
        with _lost():
            dist.barrier(group=_together)


@contextmanager
def main_first() -> Iterator[None]:
    """The body in the main rank, then in the others: what it leaves in a folder they find there."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def agree(settings: Mapping[str, Any]) -> None:
    """Raises SDXSError, in every rank, where one was given others than the main one."""
    ours, *others = gathered(dict(settings))
    for number, theirs in enumerate(others, 1):
        for name in ours.keys() | theirs.keys():
            if ours.get(name) != theirs.get(name):
                raise SDXSError(
                    f"rank {number} was given {name}={theirs.get(name)}, not {ours.get(name)}: "
                    "start all ranks alike, with the same folders and code"
                )


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of every name the mean over those rows of all ranks that have it, one row a micro-batch."""
    values: dict[str, list[float]] = {}
    for turn in zip_longest(*gathered(list(rows)), fillvalue={}):  # as `split` shares them out
        for name, value in (pair for row in turn for pair in row.items()):
            values.setdefault(name, []).append(value)
    return {name: sum(some[1:], some[0]) / len(some) for name, some in values.items()}


def sum_gradients(weights: Sequence[Tensor]) -> None:
    """Give every rank the sum of all ranks' gradients; what no rank has one of keeps none."""
    if world() == 1:
        return
    flags = gathered([weight.grad is not None for weight in weights])
    for weight, there in zip(weights, zip(*flags, strict=True), strict=True):
        if any(there) and weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    for some in _buckets(gradients):
        flat = torch.cat([part.flatten() for part in some])
        with _lost():
            dist.all_reduce(flat)
        for part, summed in zip(some, flat.split([part.numel() for part in some]), strict=True):
            part.copy_(summed.view_as(part))


@torch.no_grad()
def share_weights(tensors: Sequence[Tensor]) -> None:
    """Give every rank the main one's, in place."""
    if world() > 1:
        for tensor in tensors:
            with _lost():
                there = tensor.to(DEVICE).contiguous()
                dist.broadcast(there, 0)
            tensor.copy_(there)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """In their order, about `BUCKET` numbers at a time, of one dtype."""
    some: list[Tensor] = []
    for tensor in tensors:
        full = sum(part.numel() for part in some) >= BUCKET
        if some and (full or some[0].dtype != tensor.dtype):
            yield some
            some = []
        some.append(tensor)
    if some:
        yield some
