"""How long each stage of a picture takes, beside plain diffusers on the same weights.

"Plain" is what diffusers does when nobody tunes it: its own memory layout, PNG as Pillow saves it.
All sides take turns in one process after a warm-up. Knows nothing of how either side works inside.
"""

import io
import itertools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from tqdm import tqdm

from sdxs.model.hardware import cpu_name
from sdxs.model.schedule import seeded
from sdxs.picture import encode, to_pictures
from sdxs.pipeline import SDXS

PLAIN = {"plain": torch.float32, "plain_bfloat16": torch.bfloat16}  # by diffusers, in which dtype
SPEEDUPS = {"plain": "speedup", "plain_bfloat16": "speedup_bfloat16"}


def plain_diffusers(model: SDXS, dtype: torch.dtype) -> Callable[[str, int], bytes]:
    """Prompt and seed to PNG bytes, by diffusers' own pipeline on the same device."""
    from diffusers import DiffusionPipeline

    unsafe = {"safety_checker": None, "requires_safety_checker": False}
    pipeline = DiffusionPipeline.from_pretrained(
        model.source.folder, local_files_only=True, **unsafe
    ).to(model.device, dtype)
    pipeline.set_progress_bar_config(disable=True)

    def generate(prompt: str, seed: int) -> bytes:
        asked = {"num_inference_steps": 1, "guidance_scale": 1.0}
        generator = torch.Generator("cpu").manual_seed(seed)
        file = io.BytesIO()
        pipeline(prompt, generator=generator, **asked).images[0].save(file, "PNG")
        return file.getvalue()

    return generate


def stages(model: SDXS, prompt: str, seed: int) -> dict[str, float]:
    """Seconds of each stage of one picture, and of the whole, to JPEG bytes; then in a style."""
    marks = [_now(model.device)]

    def mark(result: Any) -> Any:
        marks.append(_now(model.device))
        return result

    generators = seeded([seed])
    words = mark(model.encode([prompt]))
    latents = mark(model.denoise(model.noise(generators, model.size), words, generators))
    images = mark(model.decode(latents))
    mark(encode(to_pictures(images)[0]))
    between = (after - before for before, after in itertools.pairwise(marks))
    spans = dict(zip(("text", "unet", "decode", "picture"), between, strict=True))

    def whole(**options: Any) -> float:
        start = _now(model.device)
        encode(model(prompt, seed=seed, **options))
        return _now(model.device) - start

    spans["whole"] = whole()
    if model.styles:
        style = model.styles[0]
        whole(style=style)
        spans["styled"] = whole(style=style)  # as the one before it
        spans["restyled"] = whole(style=style, style_scale=0.5)
    return spans


def measure(
    model: SDXS, plain: Iterable[str], prompts: Sequence[str], rounds: int, warmup: int
) -> dict[str, list[float]]:
    """Seconds of each stage in each round; all sides take turns, `plain` ones of PLAIN, too."""
    theirs = {name: plain_diffusers(model, PLAIN[name]) for name in plain}
    times: dict[str, list[float]] = {}
    for i in tqdm(range(warmup + rounds), desc="pictures", leave=False, disable=None):
        prompt = prompts[i % len(prompts)]
        spans = stages(model, prompt, i)
        for name, generate in theirs.items():
            start = _now(model.device)
            generate(prompt, i)
            spans[name] = _now(model.device) - start
        if i >= warmup:
            for name, span in spans.items():
                times.setdefault(name, []).append(span)
    return times


def summary(model: SDXS, times: dict[str, list[float]], rounds: int) -> dict[str, Any]:
    """What was measured, and on what."""
    device = model.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    result: dict[str, Any] = {
        "checkpoint": model.checkpoint,
        "size": list(model.size),
        "device": str(device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "gpu": gpu,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rounds": rounds,
        "ms": {
            name: {"median": _ms(statistics.median(spans)), "p95": _ms(percentile(spans, 0.95))}
            for name, spans in times.items()
        },
    }
    if "plain" in times:
        ms = result["ms"]
        for name, called in SPEEDUPS.items():
            result[called] = round(ms[name]["median"] / ms["whole"]["median"], 2)
    return result


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
