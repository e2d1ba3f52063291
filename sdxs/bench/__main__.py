"""How long a picture takes, stage by stage, by each engine and by diffusers on the same weights.

`python -m sdxs.bench --checkpoint storybook`, or `random:sdxs-512` for a published architecture
with random weights; `--style NAME` and `--control NAME` add what they cost. All take turns in one
process. Prints a Markdown table for every device, and ends it in one JSON line; `--plot FILE.png`
draws it.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdxs.errors import NEEDS_TORCH

if find_spec("torch") is None:
    sys.exit(NEEDS_TORCH)

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from sdxs.bench import architectures, floor, plot, process
from sdxs.bench import peers as others
from sdxs.bench.measure import measure, summary
from sdxs.bench.sides import THEIRS, check_compiler, diffusers
from sdxs.checkpoint.open import CALIBRATION
from sdxs.config import CHECKPOINTS, EMBEDDED, REAL_MODEL, known
from sdxs.engines import ENGINES, FASTEST, choose_engine
from sdxs.errors import InputError, PromptCutWarning, SDXSError, commanded
from sdxs.model.hardware import choose_device, choose_dtype
from sdxs.pipeline import SDXS
from sdxs.temporary import ended_by_signals, own_folder

ROWS = {  # what is measured of an engine of ours
    "text": "text encoding, a new prompt",
    "paint": "noise to pixels",
    "unet": "U-Net and step, alone",
    "decoder": "decoding, alone",
    "jpeg": "pixels to JPEG",
    "whole": "whole, a new prompt",
    "again": "whole, the same prompt",
    "styled": "whole, in a style",
    "restyled": "whole, strength changed",
    "controlled": "whole, with a control",
}
TITLES = {name: way.title for name, way in THEIRS.items()} | others.TITLES  # of sides not ours
RANDOM = "random:"
QUICK = {"rounds": 5, "warmup": 1, "batch": [4]}


def main(arguments: Sequence[str] | None = None) -> int:
    with commanded(), ended_by_signals():
        return run(parser().parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Measure, print, and give the exit status."""
    if options.quick:
        vars(options).update(QUICK)
    warnings.simplefilter("ignore", PromptCutWarning)  # a random model's tokens are bytes
    warnings.filterwarnings("ignore", module=r"torch\._dynamo")  # what diffusers' code has it skip
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    results = []
    try:
        if options.plot:
            plot.pyplot()  # before minutes are spent
        with own_folder() as folder:
            name = checkpoint(options.checkpoint, folder)
            # the processor always, and a graphics card where there is one
            for device in options.device or dict.fromkeys(("cpu", choose_device().type)):
                result = bench(name, device, options) | {"checkpoint": options.checkpoint}
                results.append(result)
                if not options.json:
                    print(table(result))
                print(json.dumps(result), flush=True)
        if options.plot:
            plot.draw(results, TITLES, options.plot)
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def bench(name: str | Path, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one device. Raises SDXSError."""
    place = choose_device(device)
    dtype = choose_dtype(options.dtype, place)
    if options.compile:
        check_compiler(place, dtype)
    parts = {
        "styles": {"style": options.style} if options.style else None,
        "controls": {"control": options.control} if options.control else None,
    }
    asked = options.engine or dict.fromkeys(("eager", choose_engine("auto", place, dtype)))
    ours = {
        engine: SDXS.load(
            name, engine=engine, safety=False, device=place, dtype=options.dtype, **parts
        )
        for engine in (FASTEST[place.type] if each == "auto" else each for each in asked)
    }
    model = next(iter(ours.values()))
    if model.source.folder.is_file() and not options.no_plain:
        raise InputError("plain diffusers is compared on folders: use --no-plain for a single file")
    theirs = {
        each: diffusers(way, model.source.folder, place)
        for each, way in THEIRS.items()
        if not options.no_plain and (options.compile or not way.compiled)
    }
    found = {} if options.no_plain else others.peers(model.source.folder, model.size, place)
    theirs |= {name: peer.generate for name, peer in found.items()}
    prompts = (known(model.checkpoint) or CHECKPOINTS[REAL_MODEL]).examples
    batches = options.batch or []
    times = measure(ours, theirs, prompts, options.rounds, options.warmup, batches)
    result = summary(ours, times, options.rounds)
    result |= {each: getattr(options, each) for each in ("style", "control")}
    result["peers"] = {name: peer.version for name, peer in found.items()}
    if "eager" in ours:
        gflop = floor.operations(ours["eager"], prompts[0])
        rates = floor.rates(place, dtype)
        least = sum(gflop.values()) - gflop["text"]
        result["floor"] = {
            "gflop": gflop, **rates, "paint_ms": round(least / rates["tflops"], 3)
        }  # fmt: skip
    if options.start:
        result["start"] = {
            engine: process.measure(name, engine, device, str(options.dtype)) for engine in ours
        }
    return result


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs.bench",
        description="Median and 95th percentile of each stage, by each engine and by diffusers.",
    )
    add = options.add_argument
    drawn = ", ".join(RANDOM + name for name in architectures.NAMES)
    add("--checkpoint", default=EMBEDDED,
        help=f"name, folder, Hub id, or {drawn} (default: %(default)s)")  # fmt: skip
    add("--rounds", type=count, default=30, help="measured pictures (default: %(default)s)")
    add("--warmup", type=count, default=3, help="unmeasured pictures (default: %(default)s)")
    add("--engine", action="append", choices=[name for name in ENGINES if name != "auto"],
        help="once or more (default: eager, and the fastest)")  # fmt: skip
    add("--device", action="append",
        help="cuda, mps or cpu, once or more (default: cpu, and the graphics card)")  # fmt: skip
    add("--dtype", default="auto", help="float32, float16 or bfloat16 (default: the device's best)")
    add("--style", metavar="NAME", help="also measure in a style: a name, file, folder or Hub id")
    add("--control", metavar="NAME", help="also measure with a control: a name, folder or Hub id")
    add("--batch", action="append", type=count, metavar="N", help="also N pictures in one call")
    add("--start", action="store_true",
        help="also a program's start to its first picture, and its memory")  # fmt: skip
    add("--quick", action="store_true", help="few rounds, in a minute")
    add("--no-plain", action="store_true", help="leave diffusers and other programs out")
    add("--compile", action="store_true",
        help="also diffusers with torch.compile, which takes minutes at first")  # fmt: skip
    add("--plot", type=plot.png, metavar="PNG", help="also draw whole pictures' times, as bars")
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
    architectures.write(name, folder)
    prompts = 2 * CHECKPOINTS[REAL_MODEL].examples  # what 8-bit integers are calibrated on
    (folder / CALIBRATION).write_text("\n".join(prompts) + "\n", encoding="utf-8")
    return folder


def table(result: Mapping[str, Any]) -> str:
    """The same for people, in Markdown."""
    width, height = result["size"]
    versions = {"torch": result["torch"], **result["peers"]}
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{result['checkpoint']}, {width} x {height}, {result['device']}, {result['dtype']}, "
        f"{result['rounds']} rounds; {result['gpu'] or result['cpu']}, {result['cores']} cores, "
        f"{programs}",
        "",
    ]
    engines = [side for side in result["ms"] if side not in TITLES]
    rows = [("ms", *(f"{name}, {number}" for name in engines for number in ("median", "p95")))]
    rows.append(("---", *("--:" for _ in rows[0][1:])))
    first = result["ms"][engines[0]]
    batches = {what: f"{what.removeprefix('batch_')} pictures" for what in first if "batch" in what}
    for what, title in (ROWS | batches).items():
        cells = [result["ms"][name].get(what) for name in engines]
        if any(cells):
            numbers = [
                f"{cell[number]:.1f}" if cell else "" for cell in cells
                for number in ("median", "p95")
            ]  # fmt: skip
            rows.append((title, *numbers))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    theirs = [side for side in TITLES if side in result["ms"]]
    if theirs:
        head = ("whole, ms", "median", "p95", *(f"{name} is faster" for name in engines))
        lines += ["", "| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    for side in theirs:
        ms = result["ms"][side]["whole"]
        ratios = [ms["median"] / result["ms"][name]["whole"]["median"] for name in engines]
        cells = [f"{ms['median']:.1f}", f"{ms['p95']:.1f}", *(f"{r:.1f} times" for r in ratios)]
        lines.append("| " + " | ".join((TITLES[side], *cells)) + " |")
    if "floor" in result:
        lines += ["", floor_line(result, engines)]
    if "start" in result:
        head = ("from a program's start to its first picture", "s", "memory at most, MB",
                "its own in the end, without mapped files, MB")  # fmt: skip
        lines += ["", "| " + " | ".join(head) + " |", "|---|--:|--:|--:|"]
        for engine, programs in result["start"].items():
            for which, start in programs.items():
                row = f"{engine}, {process.TITLES[which]}", start["seconds"]
                sizes = start["peak_mb"], start["own_mb"]
                lines.append("| {} | {} | {:.0f} | {:.0f} |".format(*row, *sizes))
    return "\n".join(lines) + "\n"


def floor_line(result: Mapping[str, Any], engines: Sequence[str]) -> str:
    """What the machine could do at best, and the share of it that is reached."""
    found = result["floor"]
    operations = ", ".join(f"{stage} {gflop:g}" for stage, gflop in found["gflop"].items())
    shares = ", ".join(
        f"{name} {found['paint_ms'] / result['ms'][name]['paint']['median']:.0%}"
        for name in engines
    )
    return (
        f"GFLOP: {operations}. Measured: {found['tflops']:g} TFLOP/s of a matrix product, "
        f"{found['gb_s']:g} GB/s of a copy. Noise to pixels at that rate: "
        f"{found['paint_ms']:.1f} ms; reached: {shares}."
    )


if __name__ == "__main__":
    sys.exit(main())
