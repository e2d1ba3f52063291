"""How long a picture takes, stage by stage, beside plain diffusers on the same weights.

`python -m sdxs.bench --checkpoint storybook`, or `random:sdxs-512` for a published architecture
with random weights; `--style NAME` adds what a style costs, and a change of its strength. All sides
take turns in one process after a warm-up; "plain" is what diffusers does when nobody tunes it: its
own memory layout, PNG as Pillow saves it, in float32 and bfloat16. Every device's figures end in
one JSON line. Knows nothing of how either side works inside.
"""

import argparse
import io
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from sdxs.bench import architectures
from sdxs.config import CHECKPOINTS, EMBEDDED, REAL_MODEL, known
from sdxs.errors import InputError, PromptCutWarning, SDXSError
from sdxs.model.hardware import choose_device, cpu_name
from sdxs.model.schedule import seeded
from sdxs.picture import encode, to_pictures
from sdxs.pipeline import SDXS

STAGES = {
    "text": "text encoding",
    "unet": "noise, U-Net and step",
    "decode": "decoding",
    "picture": "picture and JPEG",
    "whole": "whole",
    "styled": "whole, in a style",
    "restyled": "whole, strength changed",
    "plain": "plain diffusers, float32",
    "plain_bfloat16": "plain diffusers, bfloat16",
}
PLAIN = {"plain": torch.float32, "plain_bfloat16": torch.bfloat16}
SPEEDUPS = {"plain": "speedup", "plain_bfloat16": "speedup_bfloat16"}
RANDOM = "random:"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    warnings.simplefilter("ignore", PromptCutWarning)  # a random model's tokens are bytes
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory(prefix="sdxs-") as folder:
            name = checkpoint(options.checkpoint, Path(folder))
            for device in options.device or devices():
                result = bench(name, device, options) | {"checkpoint": options.checkpoint}
                if not options.json:
                    print(table(result))
                print(json.dumps(result), flush=True)
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    return 0


def devices() -> list[str]:
    """The processor always, and a graphics card where there is one."""
    return list(dict.fromkeys(["cpu", choose_device().type]))


def bench(name: str | Path, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one device. Raises SDXSError."""
    styles = {"style": options.style} if options.style else None
    model = SDXS.load(name, styles=styles, safety=False, device=device, dtype=options.dtype)
    plain = {} if options.no_plain else plain_diffusers(model)
    prompts = (known(model.checkpoint) or CHECKPOINTS[REAL_MODEL]).examples
    times = measure(model, plain, prompts, options.rounds, options.warmup)
    return summary(model, times, options.rounds) | ({"style": options.style} if styles else {})


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs.bench",
        description="Median and 95th percentile of each stage, beside plain diffusers.",
    )
    add = options.add_argument
    drawn = ", ".join(RANDOM + name for name in architectures.NAMES)
    add("--checkpoint", default=EMBEDDED,
        help=f"name, folder, Hub id, or {drawn} (default: %(default)s)")  # fmt: skip
    add("--rounds", type=count, default=30, help="measured pictures (default: %(default)s)")
    add("--warmup", type=count, default=3, help="unmeasured pictures (default: %(default)s)")
    add("--device", action="append",
        help="cuda, mps or cpu, once or more (default: cpu, and the graphics card)")  # fmt: skip
    add("--dtype", default="auto", help="float32, float16 or bfloat16 (default: the device's best)")
    add("--style", metavar="NAME", help="also measure in a style: a name, file, folder or Hub id")
    add("--no-plain", action="store_true", help="leave plain diffusers out")
    add("--json", action="store_true", help="print the JSON line alone")
    return options


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def checkpoint(asked: str, folder: Path) -> str | Path:
    """What to load: for "random:NAME" an architecture written into a folder."""
    if not asked.startswith(RANDOM):
        return asked
    name = asked.removeprefix(RANDOM)
    if name not in architectures.NAMES:
        raise InputError(f"no architecture {name!r}: known are {', '.join(architectures.NAMES)}")
    print(f"sdxs: writing {name} with random weights", file=sys.stderr)
    return architectures.write(name, folder)


def plain_diffusers(model: SDXS) -> dict[str, Callable[[str, int], bytes]]:
    """Prompt and seed to PNG bytes, by diffusers' own pipeline on the same device, per dtype."""
    return {name: _plain(model, dtype) for name, dtype in PLAIN.items()}


def _plain(model: SDXS, dtype: torch.dtype) -> Callable[[str, int], bytes]:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(
        model.source.folder,
        local_files_only=True,
        safety_checker=None,
        requires_safety_checker=False,
    ).to(model.device, dtype)
    pipeline.set_progress_bar_config(disable=True)

    def generate(prompt: str, seed: int) -> bytes:
        generator = torch.Generator("cpu").manual_seed(seed)
        picture = pipeline(
            prompt, num_inference_steps=1, guidance_scale=1.0, generator=generator
        ).images[0]
        file = io.BytesIO()
        picture.save(file, "PNG")
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
    names = ("text", "unet", "decode", "picture")
    spans = {name: marks[i + 1] - marks[i] for i, name in enumerate(names)}

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
    model: SDXS,
    plain: Mapping[str, Callable[[str, int], bytes]],
    prompts: Sequence[str],
    rounds: int,
    warmup: int,
) -> dict[str, list[float]]:
    """Seconds of each stage in each round; all sides take turns."""
    times: dict[str, list[float]] = {}
    for i in tqdm(range(warmup + rounds), desc="pictures", leave=False, disable=None):
        prompt = prompts[i % len(prompts)]
        spans = stages(model, prompt, i)
        for name, generate in plain.items():
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


def table(result: dict[str, Any]) -> str:
    """The same for people."""
    where = result["gpu"] or result["cpu"]
    width, height = result["size"]
    lines = [
        f"{result['checkpoint']}, {width} x {height}, batch 1, {result['device']}, "
        f"{result['dtype']}, {result['rounds']} rounds",
        f"{where}, {result['cores']} cores, {result['threads']} threads, torch {result['torch']}",
        "",
        f"{'ms':<26}{'median':>9}{'p95':>9}",
    ]
    for name, ms in result["ms"].items():
        lines.append(f"{STAGES[name]:<26}{ms['median']:>9.2f}{ms['p95']:>9.2f}")
    lines.append("")
    for name, called in SPEEDUPS.items():
        if called in result:
            lines.append(f"{result[called]} times as fast as {STAGES[name]}, PNG")
    return "\n".join(lines)


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


if __name__ == "__main__":
    sys.exit(main())
