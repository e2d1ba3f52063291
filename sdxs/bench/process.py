"""Seconds from a program's start to its first picture, and the most memory it takes.

`python -m sdxs.bench.process CHECKPOINT ENGINE DEVICE DTYPE` is that program; `measure` runs it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def measure(checkpoint: str | Path, engine: str, device: str, dtype: str) -> dict[str, float]:
    """Run one. Raises CalledProcessError."""
    command = [sys.executable, "-m", "sdxs.bench.process", str(checkpoint), engine, device, dtype]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return {"seconds": round(told["painted"] - start, 2), "peak_mb": round(told["peak_mb"])}


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
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else 1024 * peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
