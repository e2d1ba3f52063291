"""Seconds from a program's start to its first picture, and the most memory it takes: of the first
program on a machine, of the next one, which finds what the first has stored, and of a page then,
which is up when its first picture is painted.

`python -m sdxs.bench.process CHECKPOINT ENGINE DEVICE DTYPE` is that program; `measure` runs all.
"""

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdxs.errors import SDXSError
from sdxs.temporary import own_folder

LONGEST = 600  # seconds until a page is up
TITLES = {
    "first": "the first program on a machine",
    "next": "the next program",
    "page": "the next page",
}


def measure(
    checkpoint: str | Path, engine: str, device: str, dtype: str
) -> dict[str, dict[str, float]]:
    """Seconds and megabytes of each of `TITLES`, of a page for the CPU alone. Raises SDXSError with
    a program's complaint."""
    from sdxs.engines.cache import PLACE  # torch comes with it

    with own_folder() as cache:
        environment = os.environ | {PLACE: str(cache)}
        told = str(checkpoint), engine, device, dtype
        found = {which: _program(told, environment) for which in ("first", "next")}
        return found | ({"page": page(told, environment)} if device == "cpu" else {})


def _program(told: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "sdxs.bench.process", *told]
    start = time.time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise _failed(told, done.stderr, done.returncode)
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return {"seconds": round(said["painted"] - start, 2), **said["memory"]}


def page(
    told: Sequence[str],
    environment: Mapping[str, str],
    python: str = sys.executable,
    folder: str | Path = ".",
) -> dict[str, float]:
    """Seconds until a page is up and its megabytes then, of a Python of its own, started in a
    folder. Raises SDXSError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "sdxs.page", "--host", "127.0.0.1", "--port", str(port),
               "--no-safety", "--checkpoint", told[0], "--engine", told[1],
               "--device", told[2], "--dtype", told[3].removeprefix("torch.")]  # fmt: skip
    start = time.time()
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(
        command, env=environment, cwd=folder, stdout=log, stderr=log
    ) as program:  # fmt: skip
        try:
            while not _answers(port):
                if program.poll() is not None or time.time() - start > LONGEST:
                    log.seek(0)
                    raise _failed(told, log.read(), program.returncode)
                time.sleep(0.02)
            up = time.time()
            return {"seconds": round(up - start, 2), **memory(program.pid)}
        finally:
            program.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except OSError:
        return False


def _failed(told: Sequence[str], complaint: str, status: int | None) -> SDXSError:
    last = (complaint.strip().splitlines() or [f"exit status {status}"])[-1]
    return SDXSError(f"a program of {told[1]} alone failed: {last}")


def main(checkpoint: str, engine: str, device: str, dtype: str) -> None:
    from sdxs.picture import encode
    from sdxs.pipeline import SDXS

    model = SDXS.load(checkpoint, engine=engine, device=device, dtype=dtype, safety=False)
    encode(model("a red house"))
    painted = time.time()
    for seed in range(3):
        encode(model("a red house", seed=seed))
    print(json.dumps({"painted": painted, "memory": memory()}))


def memory(process: int | None = None) -> dict[str, float]:
    """Megabytes of a process, this one where none is named."""
    found = {"peak_mb": peak_memory(process), "own_mb": own_memory(process)}
    return {name: round(size / 1e6, 1) for name, size in found.items()}


def own_memory(process: int | None = None) -> float:
    """The bytes that a process has in memory now, without files that are mapped, which the system
    takes back when it must; NaN but on Linux."""
    return _status("RssAnon", process)


def peak_memory(process: int | None = None) -> float:
    """The most bytes that a process has had in memory, this one where none is named; of others
    nothing is known but on Linux."""
    peak = _status("VmHWM", process)  # what getrusage says begins with the process's parent
    if not math.isnan(peak) or process is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


def _status(name: str, process: int | None) -> float:
    try:
        status = Path(f"/proc/{process or 'self'}/status").read_text(encoding="ascii")
        return 1024.0 * int(status.split(f"{name}:")[1].split()[0])
    except (OSError, IndexError):
        return math.nan


if __name__ == "__main__":
    main(*sys.argv[1:])
