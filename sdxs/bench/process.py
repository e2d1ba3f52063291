"""Seconds from a program's start to its first picture, and the most memory it takes: of the first
program on a machine, and of the next one, which finds what the first has stored.

`python -m sdxs.bench.process CHECKPOINT ENGINE DEVICE DTYPE` is that program; `measure` runs it.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sdxs.engines.cache import PLACE
from sdxs.errors import SDXSError


def measure(
    checkpoint: str | Path, engine: str, device: str, dtype: str
) -> dict[str, dict[str, float]]:
    """Run the "first" and the "next". Raises SDXSError with its complaint."""
    with tempfile.TemporaryDirectory(prefix="sdxs-") as cache:
        told = checkpoint, engine, device, dtype
        return {which: _run([str(each) for each in told], cache) for which in ("first", "next")}


def _run(arguments: list[str], cache: str) -> dict[str, float]:
    command = [sys.executable, "-m", "sdxs.bench.process", *arguments]
    engine = arguments[1]
    start = time.time()
    done = subprocess.run(command, env=os.environ | {PLACE: cache}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SDXSError(f"a program of {engine} alone failed: {last}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return {"seconds": round(told["painted"] - start, 2), "peak_mb": round(told["peak_mb"], 1)}


def main(checkpoint: str, engine: str, device: str, dtype: str) -> None:
    from sdxs.picture import encode
    from sdxs.pipeline import SDXS

    model = SDXS.load(checkpoint, engine=engine, device=device, dtype=dtype, safety=False)
    encode(model("a red house"))
    painted = time.time()
    for seed in range(3):
        encode(model("a red house", seed=seed))
    print(json.dumps({"painted": painted, "peak_mb": peak_memory() / 1e6}))


def peak_memory() -> float:
    """The most bytes that this process has had in memory."""
    try:  # what getrusage says begins with the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024.0 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        try:
            import resource
        except ImportError:  # Windows
            return math.nan
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else 1024 * peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
