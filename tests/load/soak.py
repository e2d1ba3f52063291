"""A server under load for long: `python -m tests.load.soak --minutes 30`.

Pages, each for a while, and programs ask all the time. After the first fifth the program's memory
is to grow by at most 20 MB; `--leak` plants a leak, which has to be found.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.load.program import Asker, started

PAGES = PROGRAMS = 4
PICTURES = 50  # of a page, until its visitor leaves and another one comes
MOST = 20.0  # MB
LEAK = 20_000  # bytes of each picture


def resident(number: int) -> float:
    """Memory of a process, MB."""
    status = Path(f"/proc/{number}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


async def load(url: str, seconds: float, sample: Callable[[], None]) -> int:
    """How many pictures were made, all of them right. Raises what `Asker` raises."""
    asker, end, made = Asker(url), time.monotonic() + seconds, 0

    async def page(number: int) -> None:
        nonlocal made
        for seed in range(10**9):
            if time.monotonic() > end:
                return
            await asker.paint(f"page {number} {seed // PICTURES}", f"page {number}", seed)
            made += 1

    async def caller(number: int) -> None:
        nonlocal made
        for seed in range(10**9):
            if time.monotonic() > end:
                return
            stream = await asker.join(f"program {number}", seed)
            await asker.fetch(stream, f"program {number}", seed)
            made += 1

    async def watch() -> None:
        while time.monotonic() < end:
            sample()
            await asyncio.sleep(seconds / 200)

    visits = [page(number) for number in range(PAGES)]
    visits += [caller(number) for number in range(PROGRAMS)]
    await asyncio.gather(watch(), *visits)
    return made


def run(seconds: float, leak: int = 0) -> float:
    """By how many MB the program has grown since it was warm: medians of a tenth each."""
    seen: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        started(Path(folder), "--seconds", 0.005, "--leak", leak) as (program, url),
    ):
        made = asyncio.run(load(url, seconds, lambda: seen.append(resident(program.pid))))
    tenth = max(1, len(seen) // 10)
    first, last = (statistics.median(part) for part in (seen[2 * tenth : 3 * tenth], seen[-tenth:]))
    print(
        f"{seconds / 60:g} minutes, {made} pictures: {first:.1f} MB when warm, {last:.1f} MB at "
        f"the end: {last - first:+.1f} MB (at most {MOST:g})"
    )
    return last - first


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--leak", action="store_true", help=f"{LEAK:,} bytes of each picture")
    chosen = options.parse_args()
    return run(60 * chosen.minutes, LEAK * chosen.leak) > MOST


if __name__ == "__main__":
    sys.exit(main())
