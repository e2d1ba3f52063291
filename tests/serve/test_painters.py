"""A painter without Ray around it: batches, what fails, what takes too long."""

import argparse
import asyncio
import os
import threading
from typing import Any

import pytest
from click import UsageError
from PIL import Image

from sdxs import serve
from sdxs.errors import InputError
from sdxs.serve import app, painters
from sdxs.service.about import About
from sdxs.service.painting import Made, Order, Painter
from sdxs.service.turns import Stuck
from tests.browser.standin import Standin


class Own(painters.Painters):
    def __init__(self, generate: Any) -> None:
        self._begin(Painter(generate, About(checkpoint="standin", size=(128, 128))), "ink")


def order(prompt: str, seed: int = 1) -> Order:
    return Order({"prompt": prompt, "seed": seed}, "jpeg")


def painted(own: Any, *orders: Order) -> list[Any]:
    return asyncio.run(own.painted(list(orders)))


def test_what_comes_together_is_painted_together():
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


def test_what_takes_too_long_is_told_and_ends_the_replica(monkeypatch):
    monkeypatch.setattr(painters, "FIRST_PATIENCE", 0.05)
    monkeypatch.setattr(painters, "LAST_WORDS", 0)
    left, hang = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "_exit", lambda status: left.set())

    async def visit() -> Any:
        (stuck,) = await Own(lambda prompt, **_: hang.wait(30)).painted([order("a")])
        await asyncio.sleep(0.01)
        return stuck

    stuck = asyncio.run(visit())
    hang.set()
    assert isinstance(stuck, Stuck) and left.is_set()


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
