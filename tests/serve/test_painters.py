"""A painter without Ray around it: batches, what fails, what takes too long."""

import argparse
import asyncio
import threading
from typing import Any

import pytest
from click import UsageError
from PIL import Image

from sdxs import serve
from sdxs.errors import InputError
from sdxs.serve import app
from sdxs.serve.painters import Painters
from sdxs.service.about import About
from sdxs.service.painting import Made, Order, Painter, kind
from sdxs.service.turns import Stuck, Turns
from tests.browser.standin import Standin

ABOUT = About(checkpoint="standin", size=(128, 128))


class Own(Painters):
    def __init__(self, generate: Any, patience: float = 60) -> None:
        turns = Turns[Order, Any](Painter(generate, ABOUT), 8, patience=patience)
        turns._known.add(kind(order("a").given, ABOUT))
        self._begin(turns, ABOUT, style="ink")


def order(prompt: str, seed: int = 1) -> Order:
    return Order({"prompt": prompt, "seed": seed}, "jpeg")


def painted(own: Painters, *orders: Order) -> list[Any]:
    async def visits() -> list[Any]:
        return await asyncio.gather(*(own.paint(each, False) for each in orders))

    return asyncio.run(visits())


def test_what_waits_is_painted_together():
    standin = Standin(0)
    made = painted(Own(standin), *(order("a", seed) for seed in range(8)))
    assert all(isinstance(one, Made) for one in made)
    assert [one.name for one in made] == [f"a-{seed}.jpeg" for seed in range(8)]
    assert standin.batches == [list(range(8))]


def test_what_fails_is_its_own_affair():
    def generate(prompt: str, **_: Any) -> Image.Image:
        if prompt == "bad":
            raise InputError("no")
        return Image.new("RGB", (8, 8))

    good, bad = painted(Own(generate), order("good"), order("bad"))
    assert isinstance(good, Made) and isinstance(bad, InputError)


def test_what_takes_too_long_is_told_and_twice_ends_the_replica():
    hang = threading.Event()
    own = Own(lambda prompt, **_: hang.wait(30), patience=0.05)
    own.check_health()
    stuck = [painted(own, order("a"))[0] for _ in range(2)]
    hang.set()
    assert all(isinstance(one, Stuck) for one in stuck)
    with pytest.raises(RuntimeError, match="too long"):
        own.check_health()


def test_facts():
    about, welcome, style = Own(Standin(0)).facts()
    assert (about.checkpoint, welcome, style) == ("standin", None, "ink")


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({"page": "nothing"}, "invalid choice"),
        ({"replicas": "0"}, "number of replicas"),
        ({"replicas": "4-2"}, "number of replicas"),
        ({"port": 1}, "http_options"),
        ({"nonsense": 1}, "nonsense"),
        ({"public": True, "no_safety": "true"}, "safety checker"),
    ],
)
def test_what_makes_no_sense(args, what):
    with pytest.raises(UsageError, match=what):
        app(args)


def test_args_are_the_options_of_a_page():
    said: argparse.Namespace = serve._options(
        {"page": "sketch", "replicas": "2-4", "log_format": "json", "public": "false", "gpus": 0.5}
    )
    scaling = said.replicas["autoscaling_config"]
    assert (scaling.min_replicas, scaling.max_replicas) == (2, 4)
    assert (said.page, said.log_format, said.public, said.gpus) == ("sketch", "json", False, 0.5)
    assert serve._options({"replicas": 3}).replicas == {"num_replicas": 3}
