"""What a machine can do, and what a picture asks of it: no program is faster than their ratio."""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sdxs.model.schedule import seeded
from sdxs.pipeline import SDXS

SIDE = 2048  # of the matrices that are multiplied
COPIED = 1 << 28  # bytes
TRIES = 5


def operations(model: SDXS, prompt: str) -> dict[str, float]:
    """GFLOP of a picture by stage, 2 for a multiply-add, as an eager model computes it."""
    generators = seeded([0])
    noise = model.noise(generators, model.size)
    counted: dict[str, float] = {}

    def count(stage: str, work: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = work()
        counted[stage] = round(counter.get_total_flops() / 1e9, 3)
        return result

    words = count("text", lambda: model.encode([prompt]))
    latents = count("unet", lambda: model.denoise(noise, words, generators))
    count("decoder", lambda: model.decode(latents))
    return counted


def rates(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """TFLOP/s of a matrix product in that dtype, and GB/s of a copy (read and written): the best of
    a few."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    block = torch.zeros(COPIED // 4, device=device)
    copied = torch.empty_like(block)
    multiplied = min(_seconds(device, lambda: a @ b) for _ in range(TRIES))
    moved = min(_seconds(device, lambda: copied.copy_(block)) for _ in range(TRIES))
    return {
        "tflops": round(2 * SIDE**3 / multiplied / 1e12, 3),
        "gb_s": round(2 * COPIED / moved / 1e9, 1),
    }


def _seconds(device: torch.device, work: Any) -> float:
    work()
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for what a device is still at."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
