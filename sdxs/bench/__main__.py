"""How long a picture takes, stage by stage, beside plain diffusers on the same weights.

`python -m sdxs.bench --checkpoint storybook`, or `random:sdxs-512` for a published architecture
with random weights; `--style NAME` adds what a style costs, and a change of its strength. Every
device's figures end in one JSON line.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from sdxs.bench import architectures
from sdxs.bench.measure import PLAIN, SPEEDUPS, measure, summary
from sdxs.config import CHECKPOINTS, EMBEDDED, REAL_MODEL, known
from sdxs.errors import InputError, PromptCutWarning, SDXSError
from sdxs.model.hardware import choose_device
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
            # the processor always, and a graphics card where there is one
            for device in options.device or dict.fromkeys(("cpu", choose_device().type)):
                result = bench(name, device, options) | {"checkpoint": options.checkpoint}
                if not options.json:
                    print(table(result))
                print(json.dumps(result), flush=True)
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    return 0


def bench(name: str | Path, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one device. Raises SDXSError."""
    styles = {"style": options.style} if options.style else None
    model = SDXS.load(name, styles=styles, safety=False, device=device, dtype=options.dtype)
    plain = () if options.no_plain else PLAIN
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


if __name__ == "__main__":
    sys.exit(main())
