"""What a run will take, by three of its steps: parameters, memory of a rank, hours.

Knows nothing of what is trained.
"""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import torch
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm

from sdxs.train.run import loop, ranks
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.states import size

TIMED = 2  # steps, after one that is not


def estimate(
    parts: Mapping[str, loop.Stateful],
    frozen: Mapping[str, nn.Module],
    step: loop.Step,
    *,
    steps: int,
    seed: int,
) -> Iterator[str]:
    """Lines that say so. The steps are from the middle of the run; nothing of them is kept."""
    began = 0.0
    for number in tqdm(range(1 + TIMED), "dry run", leave=False, disable=not ranks.is_main()):
        index = min(steps // 2 + number, steps - 1)
        step(index, loop.chance(seed, index))  # what it logs is read off, so it is done
        began = began or time.monotonic()
    seconds = (time.monotonic() - began) / TIMED
    learning = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    for name, network in {**learning, **frozen}.items():
        counts = [part.numel() for part in network.parameters()]
        learns = sum(part.numel() for part in network.parameters() if part.grad is not None)
        share = f", {learns / 1e6:.2f} M of them learn" if name in learning else ", frozen"
        yield f"{name}: {sum(counts) / 1e6:.2f} M parameters{share}"
    found = memory(parts, [*learning.values(), *frozen.values()])
    yield "memory of a rank: " + ", ".join(f"{n} {b / 1e9:.2f} GB" for n, b in found.items())
    if DEVICE.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
        rest = peak - sum(found.values())
        yield f"at its peak {peak / 1e9:.2f} GB: activations and what else takes {rest / 1e9:.2f}"
    else:
        peak = most_held()
        rest = peak - sum(found.values())
        yield f"at its peak {peak / 1e9:.2f} GB: activations and all else take {rest / 1e9:.2f}"
    hours = steps * seconds / 3600
    yield f"{steps} steps of {seconds:.3g} s on {ranks.world()} rank(s): {hours:.3g} hours"


def most_held() -> int:
    """Bytes of memory that this process has held at most; where the system does not say so, now."""
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        if found:
            return 1024 * int(found[1])
    return int(psutil.Process().memory_info().rss)


def memory(parts: Mapping[str, loop.Stateful], networks: list[nn.Module]) -> dict[str, int]:
    """Bytes of weights, gradients, optimizers and running means, after a step."""
    tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
    weights = {id(tensor): tensor for tensor in tensors}.values()
    states = {name: part.state_dict() for name, part in parts.items()}
    means = {name for name, part in parts.items() if isinstance(part, EMAModel)}
    optimizers = {n for n, part in parts.items() if isinstance(part, torch.optim.Optimizer)}
    return {
        "weights": size(list(weights)),
        "gradients": size([tensor.grad for tensor in weights if tensor.grad is not None]),
        "optimizer": sum(size(states[name]) for name in optimizers),
        "running mean": sum(size(states[name]) for name in means),
    }
