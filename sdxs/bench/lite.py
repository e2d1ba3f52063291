"""The light package in an environment of its own: `python -m sdxs.bench.lite dist/sdxs-….whl`.

Installs the wheel there with its extra `lite`, by pip, which fetches what it needs; measures size,
start, memory and time, and compares pictures with those of the whole package here. Prints a table,
then one JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdxs.errors import NEEDS_TORCH

if find_spec("torch") is None:
    sys.exit(NEEDS_TORCH)

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from sdxs.bench import light, process
from sdxs.config import EMBEDDED
from sdxs.engines.compare import decibels
from sdxs.errors import SDXSError, commanded, one_line
from sdxs.granted import granted_cores
from sdxs.model.hardware import cpu_name
from sdxs.outputs import path
from sdxs.pipeline import SDXS
from sdxs.temporary import ended_by_signals, own_folder

DTYPES = ("float32", "bfloat16")  # of the eager engine that pictures are compared with
WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"
LARGEST = 6  # packages that are named


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        with commanded(), ended_by_signals(), own_folder() as folder:
            found = measure(options.wheel.resolve(), options.rounds, options.count, folder)
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    print(table(found))
    print(json.dumps(found))
    return 0


def measure(wheel: Path, rounds: int, count: int, folder: Path) -> dict[str, Any]:
    """Raises SDXSError with a program's complaint."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    bar = tqdm(total=5, unit="step", leave=False, disable=None)

    def run(*words: object) -> str:
        done = subprocess.run(
            list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            command = " ".join(map(str, words[1:4]))
            raise SDXSError(f"{command} failed: {one_line(done.stderr[-400:], 400)}")
        bar.update()
        return done.stdout

    with bar:
        run(sys.executable, "-m", "venv", folder / "venv")
        python = str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
        pins = Path("constraints.txt").resolve()
        pinned = ("-c", pins) if pins.is_file() else ()
        quiet = ("--quiet", "--disable-pip-version-check")
        run(python, "-m", "pip", "install", *quiet, *pinned, f"{wheel}[lite]")
        sizes = _sizes(Path(run(python, "-c", WHERE).strip()))
        start = time.time()
        run(python, "-m", "sdxs", "a red house", "--checkpoint", EMBEDDED)
        command, start = time.time() - start, time.time()
        painted = run(python, "-m", "sdxs.bench.light", "pictures.npy", rounds, count)
        told = json.loads(painted.splitlines()[-1])
        page = process.page((EMBEDDED, "lite", "cpu", "float32"), environment, python, folder)
    ours = np.load(folder / "pictures.npy")
    return {
        "wheel_mb": round(wheel.stat().st_size / 1e6, 1),
        "installed_mb": sizes,
        "seconds": {
            "command": round(command, 2), "program": round(told.pop("painted") - start, 2),
            "page": page.pop("seconds"),
        },
        "program": told, "page": page, "rounds": rounds, "pictures": count,
        "decibels": {dtype: _near(ours, _theirs(dtype, count)) for dtype in DTYPES},
        "cpu": cpu_name(), "cores": granted_cores(),
    }  # fmt: skip


def _sizes(packages: Path) -> dict[str, float]:
    """Megabytes of all that is installed, and of the largest packages."""
    sizes = {
        each.name: sum(file.lstat().st_size for file in each.rglob("*") if file.is_file()) / 1e6
        for each in packages.iterdir()
    }
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:LARGEST]
    return {"all": round(sum(sizes.values())), **{name: round(sizes[name]) for name in largest}}


def _theirs(dtype: str, count: int) -> NDArray[np.uint8]:
    model = SDXS.load(EMBEDDED, device="cpu", dtype=dtype, engine="eager", **light.LED)
    with tqdm(total=count, desc=dtype, unit="picture", leave=False, disable=None) as bar:

        def paint(**asked: Any) -> Any:
            bar.update()
            return model(**asked)

        return light.pictures(paint, count)


def _near(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> dict[str, float]:
    """dB between pictures: of the farthest, and of half of them at least."""
    pairs = zip(map(torch.from_numpy, ours), map(torch.from_numpy, theirs), strict=True)
    near = [decibels(*pair) for pair in pairs]
    return {"least": round(min(near), 1), "median": round(float(np.median(near)), 1)}


def table(found: dict[str, Any]) -> str:
    sizes = {**found["installed_mb"]}
    whole = sizes.pop("all")
    parts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    seconds, program, page = found["seconds"], found["program"], found["page"]
    rows = [
        ("the wheel", f"{found['wheel_mb']} MB", ""),
        ("installed", f"{whole:,} MB", parts),
        ("the command, to the file", f"{seconds['command']} s", ""),
        ("a program, to its first picture", f"{seconds['program']} s", _resident(program)),
        ("a picture, from a new prompt to the JPEG", f"{program['ms']:.0f} ms",
         f"median of {found['rounds']}"),
        ("a page, until it answers", f"{seconds['page']} s", _resident(page)),
        *(
            (f"{found['pictures']} pictures, from the whole package's in {dtype}",
             f"{near['least']} dB", f"the farthest; the median is {near['median']}")
            for dtype, near in found["decibels"].items()
        ),
    ]  # fmt: skip
    head = ["", f"sdxs[lite] alone, {found['cpu']}, {found['cores']} cores", ""]
    lines = [head, ["---", "--:", "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _resident(memory: dict[str, float]) -> str:
    return f"{memory['own_mb']:.0f} MB of its own, {memory['peak_mb']:.0f} at most"


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m sdxs.bench.lite", description=__doc__)
    add = options.add_argument
    add("wheel", type=path, help="of `make wheel`, with the embedded model's graphs in it")
    add("--rounds", type=int, default=30, help="pictures that are timed (default: %(default)s)")
    add("--count", type=int, default=64, help="that are compared (default: %(default)s)")
    return options


if __name__ == "__main__":
    sys.exit(main())
