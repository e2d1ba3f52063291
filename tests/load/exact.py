"""Pictures of a crowd beside the same made alone, by locust.

    python -m tests.load.exact --visitors 128 --requests 100 [--solo 1000] [--page standin]

So many visitors ask so many times each without a pause for PNGs on a canvas page, each picture with
a seed, style, strength, drawing, way to follow it, closeness and decoder of its own. Then the same
is asked for again, one by one: no value may differ by more than 1 of 255. The last line is JSON;
exit status 1 where one does, or where anything is lost.
"""

import argparse
import io
import random
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from locust import FastHttpUser, task
from locust.exception import StopUser
from PIL import Image, ImageDraw

from tests.load import figures
from tests.load.pages import LONGEST, Page, served
from tests.load.swarm import Bursts, captions, swarm

MOST = 1  # level that a value may differ by
DRAWN = 0.5  # the share of requests with a drawing
NONE = 0.1  # the share of scales that are 0
SIDE = 128  # of a drawing, in pixels


@dataclass(frozen=True)
class Requests:
    """The requests of a seed: one for each number, the same every time. choices: {field: values}
    of what the page offers."""

    seed: int
    choices: dict[str, list[str]]
    prompts: list[str]

    def __getitem__(self, number: int) -> dict[str, Any]:
        chance = random.Random(f"{self.seed} {number}")
        asked = {name: chance.choice(values) for name, values in self.choices.items()}
        asked |= {
            "prompt": chance.choice(self.prompts), "seed": chance.randrange(2**31),
            "style_scale": scale(chance), "format": "png",
        }  # fmt: skip
        if chance.random() < DRAWN:
            asked |= {"drawing": drawing(chance), "strength": scale(chance)}
        return asked

    def kinds(self) -> Iterator[dict[str, Any]]:
        """One request of each kind, of which no two are painted as one batch."""
        for chosen in product(*self.choices.values()):
            kind = dict(zip(self.choices, chosen, strict=True))
            yield {**kind, "drawing": drawing(random.Random(0))}
            if kind["condition"] == self.choices["condition"][0]:
                yield kind


@dataclass
class Load:
    """What users share: the requests, the numbers of those to ask, in order, and where the files of
    the answers go."""

    requests: Requests
    numbers: Sequence[int]
    folder: Path
    bursts: Bursts


class Asker(FastHttpUser):
    """Asks one after the other, without a pause."""

    network_timeout = connection_timeout = LONGEST

    @task
    def ask(self) -> None:
        load: Load = self.environment.load
        if not load.bursts.begin():
            raise StopUser
        number = load.numbers[load.bursts.begun - 1]
        answer = self.client.post("/api/picture", json=load.requests[number], name="picture")
        if answer.status_code == 200:
            (load.folder / f"{number}.png").write_bytes(answer.content)


def scale(chance: random.Random) -> float:
    """0 to 2, often 0, where a model goes without what the scale is of."""
    return 0 if chance.random() < NONE else round(chance.uniform(0, 2), 3)


def drawing(chance: random.Random) -> str:
    """Some lines and a round thing, in base64."""
    page = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(page)
    x, y, size = chance.randrange(20, 70), chance.randrange(20, 70), chance.randrange(20, 50)
    colour = tuple(chance.randrange(40, 220) for _ in "RGB")
    draw.ellipse((x, y, x + size, y + size), fill=colour, outline="black", width=3)
    points = [(chance.randrange(SIDE), chance.randrange(SIDE)) for _ in range(4)]
    draw.line(points, fill="black", width=4)
    page.save(file := io.BytesIO(), "PNG")
    return b64encode(file.getvalue()).decode()


def offered(options: dict[str, Any]) -> dict[str, list[str]]:
    """{field: values} of what `/api/options` lists, where a request may leave it to chance."""
    named = ("style", "condition", "decoder")
    return {name: options[name]["enum"] for name in named if name in options}


def compared(page: Page, requests: Requests, options: argparse.Namespace) -> figures.Row:
    """The crowd's pictures and those made alone, in figures."""
    count = options.visitors * options.requests
    solo = sorted(random.Random(options.seed).sample(range(count), min(options.solo, count)))
    with tempfile.TemporaryDirectory() as folder:
        seen, found = [], []
        for place, users, numbers in ("crowd", options.visitors, range(count)), ("alone", 1, solo):
            (own := Path(folder, place)).mkdir()
            bursts = Bursts(len(numbers))
            load = Load(requests, numbers, own, bursts)
            seen.append(swarm(page, Asker, users, bursts, load))
        for number in solo:
            files = [Path(folder, place, f"{number}.png") for place in ("crowd", "alone")]
            if all(file.exists() for file in files):
                found.append(figures.levels(*files))
                if found[-1] > MOST:
                    asked = {**requests[number], "drawing": "drawing" in requests[number]}
                    print(f"{number}: {found[-1]} levels, {asked}", flush=True)
        made = len(list(Path(folder, "crowd").iterdir()))
    return {
        "visitors": options.visitors,
        "pictures": made,
        "pictures/s": round(seen[0].rate, 1),
        "alone, pictures/s": round(seen[1].rate, 1),
        "compared": len(found),
        "the same": found.count(0),
        "1 level": found.count(1),
        "more": sum(one > MOST for one in found),
        "levels at most": max(found, default=0),
        "lost": count - made + len(solo) - len(found),
        "errors": sum(one.heard.wrong.total() for one in seen),
        "MB": round(max(one.memory for one in seen)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--page", choices=("standin", "embedded-canvas"), default="embedded-canvas")
    add("--at", default="", metavar="URL", help="a page that is there")
    add("--visitors", type=int, default=128)
    add("--requests", type=int, default=100, help="of each")
    add("--solo", type=int, default=10**9, help="how many are made alone, too (default: all)")
    add("--seed", type=int, default=0, help="of chance")
    options = parser.parse_args()
    with served(options.page, at=options.at) as page:
        requests = Requests(options.seed, offered(page.options()), captions())
        for kind in requests.kinds():
            page.warm(**kind)
        row = compared(page, requests, options)
    missed = figures.missed(row)
    return figures.report([row], {}, missed, page=options.page, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
