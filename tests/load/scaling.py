"""Pictures a second by Ray Serve, with more and more replicas: `python -m tests.load.scaling`.

    python -m tests.load.scaling --page embedded --replicas 1 2   # real, as many as cores
    python -m tests.load.scaling --replicas 1 2 4 8               # painters that only wait

Programs ask without a pause, a few for each replica. From the processor time of a picture, in the
painters, the page and Ray's proxy, follows how far this goes on machines of one core a replica: the
asymptotic bound of operational analysis (Denning and Buzen, 1978), X(n) <= min(n / S, 1 / D), where
S is what a picture costs a painter, and D what it costs the page or the proxy, whichever is more.
A painter that waits stands for a machine of its own, so what is measured with it is held against
the model.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field

import httpx
import psutil

from sdxs.picture import encode
from tests.bare import bare
from tests.browser.standin import Standin
from tests.load.cluster import MODEL, STANDIN, Cluster, cluster

ASKING = 12  # programs for each replica: a batch and a half
WARM = 20.0  # seconds, in which a model makes its graphs
KINDS = "Painters", "Pages", "ProxyActor"
PREDICTED = 1, 2, 4, 8, 16, 32


@dataclass
class Seen:
    """Seconds of each answer; processor seconds of a picture, by kind of process."""

    replicas: int
    seconds: float
    took: list[float] = field(default_factory=list)
    wrong: int = 0
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def row(self) -> list[str]:
        median, late = statistics.median(self.took), sorted(self.took)[int(0.95 * len(self.took))]
        cost = [f"{1000 * self.cost[kind]:.1f}" for kind in KINDS]
        times = [f"{1000 * one:.0f}" for one in (median, late)]
        return [str(self.replicas), f"{self.rate:.1f}", *times, *cost, str(self.wrong)]


async def ask(url: str, count: int, seconds: float, checks: bool) -> tuple[list[float], int]:
    """Seconds of the answers to so many programs without a pause, and how many are wrong."""
    took, wrong, end = [], 0, time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:

        async def program(number: int) -> None:
            nonlocal wrong
            for seed in range(10**9):
                begin = time.monotonic()
                if begin > end:
                    return
                asked = {"prompt": f"a red house, {number}", "seed": seed}
                answer = await http.get("/api/picture", params=asked)
                took.append(time.monotonic() - begin)
                right = answer.status_code == 200
                if right and checks:
                    own = encode(Standin.draw(asked["prompt"], seed))
                    right = bare(answer.content) == own
                wrong += not right

        await asyncio.gather(*map(program, range(count)))
    return took, wrong


def spent(own: Cluster) -> dict[str, float]:
    """Processor seconds until now, by kind of process."""
    found = own.processes()
    return {kind: sum(sum(one.cpu_times()[:2]) for one in found[kind]) for kind in KINDS}


def measured(replicas: int, options: argparse.Namespace) -> Seen:
    path = MODEL if options.page == "embedded" else STANDIN
    args = {"checkpoint": "storybook"} if options.page == "embedded" else {"cpus": 0.1}
    with cluster(path, options.seconds_a_batch, replicas=replicas, **args) as own:
        count, checks = ASKING * replicas, options.page == "standin"
        asyncio.run(ask(own.url, count, WARM if options.page == "embedded" else 2, checks))
        before, begin = spent(own), time.monotonic()
        took, wrong = asyncio.run(ask(own.url, count, options.seconds, checks))
        seen = Seen(replicas, time.monotonic() - begin, took, wrong)
        after = spent(own)
        seen.cost = {kind: (after[kind] - before[kind]) / len(took) for kind in KINDS}
        return seen


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--page", choices=("standin", "embedded"), default="standin")
    add("--replicas", type=int, nargs="+", default=[1, 2])
    add("--seconds", type=float, default=30, help="of each number of replicas")
    add("--seconds-a-batch", type=float, default=0.1, help="of a stand-in, for up to 8 pictures")
    chosen = options.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GB")
    head = ["replicas", "pictures/s", "p50 ms", "p95 ms"]
    head += [f"CPU ms, {kind}" for kind in ("painter", "page", "proxy")] + ["wrong"]
    print(f"| {' | '.join(head)} |\n|{' --: |' * len(head)}", flush=True)
    rows = []
    for replicas in chosen.replicas:
        rows.append(measured(replicas, chosen))
        print(f"| {' | '.join(rows[-1].row())} |", flush=True)
    print(bound(rows, chosen))
    facts = {
        str(row.replicas): {"rate": round(row.rate, 2), "cost": row.cost, "wrong": row.wrong}
        for row in rows
    }
    print(json.dumps({"page": chosen.page, "rows": facts}))
    return any(row.wrong for row in rows)


def bound(rows: list[Seen], options: argparse.Namespace) -> str:
    """The model, for more than was measured."""
    first = rows[0]
    computes = options.page == "embedded"
    each = first.cost["Painters"] if computes else first.replicas / first.rate
    shared = max(first.cost["Pages"], first.cost["ProxyActor"])
    lines = [
        f"S = {1000 * each:.1f} ms a picture and painter, D = {1000 * shared:.1f} ms of the page "
        f"or the proxy: one page is enough for {each / shared:.0f} painters",
    ]
    lines += [f"X({n}) <= {min(n / each, 1 / shared):.0f} pictures/s" for n in PREDICTED]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
