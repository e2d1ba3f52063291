"""Painters of Ray Serve that die under load: `python -m tests.load.killed --minutes 10`.

One of two painters is killed every ten seconds, the page never. Programs ask without a pause, and
once more where they got no picture. 99.9 % of all requests are to have theirs, and the right one.
"""

import argparse
import asyncio
import json
import random
import time

import httpx

from sdxs.picture import encode
from tests.bare import bare
from tests.browser.standin import Standin
from tests.load.cluster import Cluster, cluster

EVERY = 10.0  # seconds
PROGRAMS = 8
LEAST = 0.999


class Count:
    def __init__(self) -> None:
        self.asked = self.first = self.second = self.killed = 0
        self.slowest = 0.0
        self.lost: list[str] = []

    @property
    def share(self) -> float:
        return (self.first + self.second) / max(1, self.asked)


async def killing(own: Cluster, end: float, every: float, count: Count) -> None:
    chance = random.Random(0)
    while time.monotonic() + every < end:
        await asyncio.sleep(every)
        if there := own.processes().get("Painters"):
            chance.choice(there).kill()
            count.killed += 1


async def program(http: httpx.AsyncClient, number: int, end: float, count: Count) -> None:
    seed = 0
    while time.monotonic() < end:
        seed += 1
        prompt, begin, said = f"program {number}", time.monotonic(), ""
        count.asked += 1
        for again in (False, True):
            try:
                answer = await http.get("/api/picture", params={"prompt": prompt, "seed": seed})
            except httpx.HTTPError as error:
                said = repr(error)
                continue
            right = bare(answer.content) == encode(Standin.draw(prompt, seed))
            if answer.status_code == 200 and right:
                count.second += again
                count.first += not again
                break
            said = f"{answer.status_code} {answer.text[:100]}"
        else:
            count.lost.append(said)
        count.slowest = max(count.slowest, time.monotonic() - begin)


async def load(own: Cluster, seconds: float, every: float) -> Count:
    count, end = Count(), time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=own.url, timeout=60, trust_env=False) as http:
        programs = [program(http, number, end, count) for number in range(PROGRAMS)]
        await asyncio.gather(killing(own, end, every, count), *programs)
    return count


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    seconds = 60 * options.parse_args().minutes
    with cluster(replicas=2, cpus=0.5) as own:
        count = asyncio.run(load(own, seconds, EVERY))
    print(
        f"{seconds / 60:g} minutes, {count.killed} painters killed: {count.asked} requests, "
        f"{count.first} answered at once, {count.second} by the second try, {len(count.lost)} not: "
        f"{100 * count.share:.3f} %, the slowest after {count.slowest:.1f} s"
    )
    print(*count.lost[:10], sep="\n")
    print(json.dumps({"asked": count.asked, "share": count.share, "killed": count.killed}))
    return count.share < LEAST


if __name__ == "__main__":
    raise SystemExit(main())
