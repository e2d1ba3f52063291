"""Calibrates a checkpoint for the engine `openvino-int8`, and says how near its pictures stay.

`python -m sdxs.engines.calibrate CHECKPOINT --prompts FILE`, a prompt a line, 8 to 64 of them. What
is quantized paints 32 of them with other seeds, beside the eager engine in float32; where it is
less than 32 dB near, nothing is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines.calibration import kept_at, outlines, prompts_of, read_prompts
from sdxs.engines.compare import decibels
from sdxs.engines.graphs import GraphEngine
from sdxs.engines.int8 import OpenVINOInt8
from sdxs.engines.runtime import Unavailable
from sdxs.errors import SDXSError
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine
from sdxs.model.engine import Engine
from sdxs.model.hardware import choose_dtype, limit_threads
from sdxs.model.schedule import draw_noise, seeded

CPU = torch.device("cpu")
LEAST = 32.0  # dB from float32, of all pictures together
PICTURES, SEEDS = 32, 10_000  # the first of the seeds


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    try:
        near = calibrate(asked.checkpoint, asked.prompts, asked.style, asked.control)
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    print(f"{asked.checkpoint}: {near:.1f} dB from float32 over {PICTURES} pictures")
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs.engines.calibrate", description=__doc__.splitlines()[0]
    )
    options.add_argument("checkpoint", help="a name, a folder or a Hub id")
    options.add_argument("--prompts", type=Path, metavar="FILE",
        help="a prompt a line (default: those that it has already)")  # fmt: skip
    options.add_argument("--style", metavar="NAME", help="in a style, too: a name, file, Hub id")
    options.add_argument("--control", metavar="NAME", help="with a control, too: a name, Hub id")
    return options


def calibrate(name: str, file: Path | None, style: str | None, control: str | None) -> float:
    """Keep the prompts where the pictures come near, and say how near, in dB. Raises SDXSError."""
    limit_threads()
    dtype = choose_dtype("auto", CPU)
    try:
        OpenVINOInt8.check(CPU, dtype)
    except Unavailable as reason:
        raise SDXSError(f"engine {OpenVINOInt8.name!r} cannot be had: {reason}") from None
    parts: Any = {
        "styles": {"style": style} if style else None,
        "controls": {"control": control} if control else None,
        "safety": False,
        "device": CPU,
    }
    opened = open_checkpoint(name, **parts, dtype=torch.float32)
    prompts = prompts_of(opened.places, name) if file is None else read_prompts(file)
    whole = EagerEngine(opened.networks, opened.one_step, CPU, torch.float32)
    again = open_checkpoint(name, **parts, dtype=dtype)
    ours = GraphEngine(OpenVINOInt8, again, CPU, dtype, waits=True, prompts=prompts)
    near = distance(whole, ours, opened, prompts)
    if near < LEAST:
        raise SDXSError(
            f"pictures of {name} are {near:.1f} dB from float32, {LEAST:.0f} are needed: nothing "
            "is kept; prompts that are more like those it will paint may help"
        )
    if file is not None:
        kept = kept_at(opened.places)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    return near


def distance(whole: Engine, ours: Engine, opened: Opened, prompts: Sequence[str]) -> float:
    """How near pictures of an engine are to those of another, in dB over all of them, with all
    styles and controls that there are."""
    one, latents = torch.ones(1), (opened.facts.offer.channels, *opened.networks.size)
    styles = dict.fromkeys(opened.networks.styles, one)
    pairs: list[tuple[Tensor, Tensor]] = []
    for i in tqdm(range(PICTURES), desc="pictures", leave=False, disable=None):
        ids = opened.facts.readers.ids([prompts[i % len(prompts)]])
        noise = draw_noise(seeded([SEEDS + i]), latents)
        controls: list[Control] = []
        if opened.networks.controls:
            drawn = outlines(whole.paint(noise, whole.encode(ids, styles), styles, [], "tiny"))
            controls = [Control(name, None, drawn, one) for name in opened.networks.controls]
        pictures = [
            engine.paint(noise, engine.encode(ids, styles), styles, controls, "tiny")
            for engine in (whole, ours)
        ]
        pairs.append((pictures[0], pictures[1]))
    return decibels(*(torch.cat(side) for side in zip(*pairs, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
