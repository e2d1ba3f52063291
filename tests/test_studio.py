"""The studio without a page: turns, limits, and strange requests."""

import asyncio
import io
import threading
import time
from typing import Any

import pytest
from PIL import Image

from sdxs import studio
from sdxs.errors import InputError
from sdxs.picture import encode
from sdxs.studio import Studio, file_name, parse_prompt, parse_seed


def grey(prompt: str, *, seed: int) -> Image.Image:
    return Image.new("L", (16, 16), seed % 256)


def test_what_is_made_is_the_encoded_picture():
    made = asyncio.run(Studio(grey).make("a", "7"))
    assert made.file == encode(grey("a", seed=7))
    assert made.warning == ""


def test_one_picture_in_the_making_first_come_first_served():
    running, most, order = 0, 0, []
    lock = threading.Lock()

    def slow(prompt: str, *, seed: int) -> Image.Image:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
            order.append(seed)
        return grey(prompt, seed=seed)

    async def crowd() -> list[Any]:
        own = Studio(slow)
        return await asyncio.gather(*(own.make("a", seed) for seed in range(8)))

    made = asyncio.run(crowd())
    assert most == 1
    assert order == list(range(8))
    assert [one.file for one in made] == [encode(grey("a", seed=seed)) for seed in range(8)]


def test_a_visitor_who_leaves_keeps_the_turn_until_the_picture_is_made():
    begun, finish, running, most = threading.Event(), threading.Event(), 0, 0

    def slow(prompt: str, *, seed: int) -> Image.Image:
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.set()
        finish.wait(30)
        running -= 1
        return grey(prompt, seed=seed)

    async def visits() -> bytes:
        own = Studio(slow)
        leaving = asyncio.ensure_future(own.make("a", 1))
        await asyncio.to_thread(begun.wait, 30)
        leaving.cancel()
        staying = asyncio.ensure_future(own.make("a", 2))
        await asyncio.sleep(0.1)
        finish.set()
        return (await staying).file

    assert asyncio.run(visits()) == encode(grey("a", seed=2))
    assert most == 1


def test_a_crowd_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(studio, "MOST_WAITING", 2)

    async def crowd() -> list[Any]:
        own = Studio(grey)
        return await asyncio.gather(*(own.paint({"prompt": "a", "seed": s}) for s in range(3)))

    answers = asyncio.run(crowd())
    assert [bool(answer.get("again")) for answer in answers] == [False, False, True]


@pytest.mark.parametrize(
    "request_",
    [
        None,
        7,
        "text",
        ["a"],
        {},
        {"prompt": None},
        {"prompt": "a"},
        {"prompt": "a", "seed": []},
        {"prompt": {"a": 1}},
    ]
    + [{"prompt": "a", "seed": "0", "decoder": name} for name in ("large", 7, ["tiny"])]
    + [{"prompt": "a" * (studio.LONGEST_PROMPT + 1), "seed": "0"}],
)
def test_a_strange_request_gets_one_line(request_):
    own = Studio(grey, choices={"decoder": ("tiny",)})
    for answer in (asyncio.run(own.paint(request_)), asyncio.run(own.download(request_))):
        assert answer["kind"] in ("hint", "error")
        assert 0 < len(answer["note"]) < 300 and "\n" not in answer["note"]


def test_foreign_fields_are_dropped():
    answer = asyncio.run(Studio(grey).paint({"prompt": "a", "seed": 1, "size": 10**6}))
    assert answer["picture"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("seed", [0, "0", " 12 ", 2**63 - 1, str(2**63 - 1)])
def test_good_seeds(seed):
    assert parse_seed(seed) == int(seed)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1e3", "٣", "1_000", "9" * 9999, None, True, "x"])
def test_bad_seeds(seed):
    with pytest.raises(InputError, match="cannot be used"):
        parse_seed(seed)


def test_half_an_emoji_can_still_be_encoded():
    assert parse_prompt("fox \ud83e").encode("utf-8") == b"fox ?"
    assert file_name("../../ 🦊 Été/", "3") == "t-3.png"
    assert file_name("🦊", 3) == "picture-3.png"


def test_the_png_carries_its_parameters():
    made = asyncio.run(Studio(grey, checkpoint="c").make("un\0 🦊", 5, format="png"))
    text = Image.open(io.BytesIO(made.file)).text  # type: ignore[attr-defined]
    assert (text["prompt"], text["seed"], text["checkpoint"]) == ("un 🦊", "5", "c")
