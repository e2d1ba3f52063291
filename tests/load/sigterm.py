"""SIGTERM under load, again and again: `python -m tests.load.sigterm --times 200`.

Four pages and four programs ask all the time. What was accepted is to be answered rightly, nothing
new accepted 100 ms after the signal, and the program over within 5 s, with nothing left behind.
"""

import argparse
import asyncio
import http.client
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.load.program import Asker, Program, Refused, Wrong, started

PAGES = PROGRAMS = 4
LOADED = 1.0  # seconds of load before the signal
REFUSES = 0.1  # seconds until nothing new is accepted
ENDS = 5.0  # seconds until the program is over


@dataclass
class Found:
    """What was seen. Times are seconds."""

    answered: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    refusing: list[float] = field(default_factory=list)
    ending: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def is_right(self) -> bool:
        return (
            not self.lost
            and not self.left
            and max(self.refusing) <= REFUSES
            and max(self.ending) <= ENDS
            and self.statuses == {0}
            and self.answered > 0
        )

    def __str__(self) -> str:
        refusing, ending = (
            f"{1000 * statistics.median(times):.0f} ms (p50), {1000 * max(times):.0f} ms (most)"
            for times in (self.refusing, self.ending)
        )
        return (
            f"{len(self.ending)} SIGTERMs: {self.answered} accepted and answered, {len(self.lost)} "
            f"lost, {self.refused} refused; nothing new from {refusing} on; over after {ending}; "
            f"{len(self.left)} files left behind; exit statuses {sorted(self.statuses)}"
        )


async def once(program: Program, url: str, found: Found) -> None:
    """One signal."""
    asker, signalled = Asker(url), 0.0

    async def page(number: int) -> None:
        for seed in range(10_000):
            before = signalled
            try:
                await asker.paint(f"page {number}", f"page {number}", seed)
                found.answered += 1
            except Refused:
                found.refused += 1
                return
            except (Wrong, httpx.HTTPError) as error:
                if before and isinstance(error, httpx.HTTPError):
                    return  # it was over
                found.lost.append(f"page: {error!r}")
                return

    async def caller(number: int) -> None:
        for seed in range(10_000):
            before = signalled
            try:
                stream = await asker.join(f"program {number}", seed)
            except Refused:
                found.refused += 1
                return
            except httpx.HTTPError as error:
                if not before:
                    found.lost.append(f"join: {error!r}")
                return
            try:
                await asker.fetch(stream, f"program {number}", seed)
                found.answered += 1
            except (Wrong, httpx.HTTPError) as error:
                found.lost.append(f"program: {error!r}")

    visits = [page(number) for number in range(PAGES)]
    visits += [caller(number) for number in range(PROGRAMS)]
    load = [asyncio.create_task(visit) for visit in visits]
    await asyncio.sleep(LOADED)
    program.send_signal(signal.SIGTERM)
    signalled = time.monotonic()

    def ending() -> None:
        found.statuses.add(program.wait(60))
        found.ending.append(time.monotonic() - signalled)

    watched = asyncio.to_thread(refusing, url, signalled, found), asyncio.to_thread(ending)
    await asyncio.gather(*watched, *load)


def refusing(url: str, since: float, found: Found) -> None:
    """From when on the server refuses what is new: of small things, when the first one that it
    refused was sent."""
    status = 0
    while status != 503:
        sent = time.monotonic()
        server = http.client.HTTPConnection(url.removeprefix("http://"))
        server.request("POST", "/")
        status = server.getresponse().status
        server.close()
    found.refusing.append(sent - since)


def run(times: int) -> Found:
    found = Found()
    for number in range(times):
        with tempfile.TemporaryDirectory() as folder:
            with started(Path(folder)) as (program, url):
                asyncio.run(once(program, url, found))
            found.left += [file.name for file in Path(folder).iterdir()]
        if (number + 1) % 10 == 0 or found.lost:
            print(found, *found.lost, sep="\n  ", flush=True)
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=200)
    found = run(options.parse_args().times)
    print(found)
    return not found.is_right()


if __name__ == "__main__":
    sys.exit(main())
