"""Users of locust at a page, all at once, until the last one has ended.

Knows nothing of what they do.
"""

import json
import math
import time
from typing import Any, NamedTuple

import gevent
from locust import User
from locust.env import Environment

from tests.load.figures import Heard
from tests.load.pages import Page
from tests.programs import ROOT

SAMPLED = 0.25  # seconds between two looks at the page's memory
FASTEST = 100  # users that begin within a second
CAPTIONS = ROOT / "sdxs" / "storybook" / "world" / "captions.jsonl"


class Bursts:
    """So many at most, begun before some seconds have passed."""

    def __init__(self, most: float, seconds: float = math.inf) -> None:
        self.begun, self._most, self._end = 0, most, time.monotonic() + seconds

    def open(self) -> bool:
        """Whether another one may begin."""
        return self.begun < self._most and time.monotonic() < self._end

    def begin(self) -> bool:
        """Whether another one begins."""
        begins = self.open()
        self.begun += begins
        return begins


class Seen(NamedTuple):
    """What locust heard, pictures a second while bursts began, and MB of the page at most."""

    heard: Heard
    rate: float
    memory: float


def swarm(page: Page, kind: type[User], count: int, bursts: Bursts, load: Any) -> Seen:
    """So many users of a kind, each of which ends when no burst begins for it. load: what they
    share, their `environment.load`."""
    environment, heard = Environment(user_classes=[kind], host=page.url), Heard()
    environment.load = load
    environment.events.request.add_listener(heard)
    runner, start = environment.create_local_runner(), time.monotonic()
    rate = memory = 0.0
    runner.start(count, spawn_rate=min(count, FASTEST))
    runner.spawning_greenlet.join()
    while runner.user_count:
        gevent.sleep(SAMPLED)
        memory = max(memory, page.memory())
        if bursts.open() or not rate:
            rate = len(heard.ms["picture"]) / (time.monotonic() - start)
    runner.quit()
    return Seen(heard, rate, memory)


def captions() -> list[str]:
    """What people write: captions that the embedded model has not seen."""
    return [json.loads(line)["text"] for line in CAPTIONS.read_text("utf-8").splitlines()]
