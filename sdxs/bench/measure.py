"""How long pictures take, stage by stage and whole, by several sides that take turns.

All in one process after a warm-up, so that what disturbs one disturbs all. Knows nothing of how
any side works inside.
"""

import functools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from sdxs.bench.floor import synchronize
from sdxs.bench.sides import Generate
from sdxs.granted import granted_cores
from sdxs.model.hardware import cpu_name
from sdxs.model.schedule import seeded
from sdxs.picture import encode, pictures_of
from sdxs.pipeline import SDXS

Times = dict[str, dict[str, list[float]]]  # side -> what -> seconds of each round


def stages(model: SDXS, prompt: str, seed: int, batches: Sequence[int]) -> dict[str, float]:
    """Seconds of one picture's stages, of whole ones to JPEG bytes, and of batches."""
    device, clock = model.device, Clock(model.device)
    generators = seeded([seed])
    words = clock("text", lambda: model.encode([prompt]))
    noise = clock("noise", lambda: model.noise(generators, model.size))
    pixels = clock("paint", lambda: model.paint(noise, words, generators))
    clock("jpeg", lambda: encode(pictures_of(pixels)[0]))
    if model.engine == "eager":
        latents = clock("unet", lambda: model.denoise(noise, words, generators))
        clock("decoder", lambda: model.decode(latents))

    def whole(name: str, text: Any = prompt, **options: Any) -> None:
        def work() -> None:
            painted = model(text, seed=seed, **options)
            for picture in painted if isinstance(painted, list) else [painted]:
                encode(picture)

        clock(name, work)

    whole("whole", f"{seed} {seed} {prompt}")
    whole("again", f"{seed} {seed} {prompt}")
    if model.styles:
        style = model.styles[0]
        whole("to_style", style=style)
        whole("styled", style=style)
        whole("restyled", style=style, style_scale=0.5)
    if model.controls:
        image = Image.new("RGB", model.size, "white")
        whole("controlled", control=model.controls[0], control_image=image)
    for rows in batches:
        whole(f"batch_{rows}", [prompt] * rows)
    synchronize(device)
    clock.spans.pop("to_style", None)
    return clock.spans


class Clock:
    """Does something and keeps how long it took, by name."""

    def __init__(self, device: torch.device) -> None:
        self.spans: dict[str, float] = {}
        self._device = device

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        synchronize(self._device)
        start = time.perf_counter()
        result = work()
        synchronize(self._device)
        self.spans[name] = time.perf_counter() - start
        return result


def measure(
    ours: Mapping[str, SDXS],
    theirs: Mapping[str, Generate],
    prompts: Sequence[str],
    rounds: int,
    warmup: int,
    batches: Sequence[int],
) -> Times:
    """All sides take turns, in each round another prompt and seed."""
    device = next(iter(ours.values())).device
    times: Times = {name: {} for name in (*ours, *theirs)}
    for i in tqdm(range(warmup + rounds), desc="pictures", leave=False, disable=None):
        prompt = prompts[i % len(prompts)]
        for name, model in ours.items():
            spans = stages(model, f"{i} {prompt}", i, batches)
            if i >= warmup:
                for what, span in spans.items():
                    times[name].setdefault(what, []).append(span)
        for name, generate in theirs.items():
            clock = Clock(device)
            clock("whole", functools.partial(generate, prompt, i))
            if i >= warmup:
                times[name].setdefault("whole", []).append(clock.spans["whole"])
    return times


def summary(ours: Mapping[str, SDXS], times: Times, rounds: int) -> dict[str, Any]:
    """What was measured, and on what."""
    model = next(iter(ours.values()))
    device = model.device
    return {
        "checkpoint": model.checkpoint,
        "size": list(model.size),
        "device": str(device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": cpu_name(),
        "cores": granted_cores(),
        "machine_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rounds": rounds,
        "ms": {
            side: {
                what: {
                    "median": _ms(statistics.median(spans)),
                    "p95": _ms(percentile(spans, 0.95)),
                    "min": _ms(min(spans)),
                }
                for what, spans in of_side.items()
            }
            for side, of_side in times.items()
        },
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
