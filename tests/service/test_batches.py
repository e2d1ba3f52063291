"""Requests of several visitors by one call: who goes with whom, and that each gets their own."""

import argparse
import asyncio
import io
import threading
import warnings
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from page.test_answers import grey
from PIL import Image
from tiny import build_safety_checker, drawing, load

from sdxs.conditions import from_drawing
from sdxs.errors import InputError, NothingToFollow, PromptCutWarning
from sdxs.page import apps
from sdxs.page.answers import Answers
from sdxs.picture import encode
from sdxs.service.about import About
from sdxs.service.drawings import data_url
from sdxs.service.painting import ALONE, Made

ABOUT = About(decoders=("tiny", "large"), styles=("ink", "anime"), conditions=("sketch", "canny"))
STEPS = 4  # of an event loop in which every visit has taken its place, one that comes late, too
OTHER_KIND = {"prompt": "first", "seed": 0, "decoder": "large"}


class Held:
    """`generate` of lists, too, which notes its calls. That of "first" goes on until `finish`."""

    def __init__(self, generate: Any) -> None:
        self._generate = generate
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.begun, self.finish = threading.Event(), threading.Event()

    def __call__(self, prompt: Any, **told: Any) -> Any:
        if prompt == "first":
            self.begun.set()
            assert self.finish.wait(30)
        else:
            self.calls.append((prompt, told))
        return self._generate(prompt, **told)

    prompts = property(lambda self: [prompt for prompt, _ in self.calls])


def standin(prompt: Any, *, seed: Any, **told: Any) -> Any:
    """The grey of a seed, a little darker in a style; fails with "bad", warns of "long" ones."""
    prompts, seeds = ([prompt], [seed]) if isinstance(prompt, str) else (prompt, seed)
    for row, one in enumerate(prompts):
        if "bad" in one:
            raise InputError(f"{one} cannot be painted")
        if "long" in one:
            warnings.warn(PromptCutWarning(f"not seen: {one}", [row]), stacklevel=1)
    pictures = [
        grey(one, seed=number - ("style" in told))
        for one, number in zip(prompts, seeds, strict=True)
    ]
    return pictures[0] if isinstance(prompt, str) else pictures


def visit(held: Held, own: Answers, *visits: Coroutine[Any, Any, Any]) -> list[Any]:
    """What becomes of visits that begin while the turn of another one goes on."""

    async def come() -> list[Any]:
        first = asyncio.ensure_future(own.make(OTHER_KIND))
        await asyncio.to_thread(held.begun.wait, 30)
        waiting = [asyncio.ensure_future(visit) for visit in visits]
        for _ in range(STEPS):  # each takes its place
            await asyncio.sleep(0)
        held.finish.set()
        await first
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(come())


def made(held: Held, *requests: dict[str, Any], own: Answers | None = None) -> list[Any]:
    """What becomes of requests for PNG files."""
    own = own or Answers.local(held, ABOUT, together=8)
    return visit(held, own, *(own.make(request, "png") for request in requests))


def request(prompt: str, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "seed": seed, **more}


def shades(found: Sequence[Made]) -> list[int]:
    return [pixels(one.file)[0, 0] for one in found]


def pixels(file: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(file)))


def apart(one: bytes, other: bytes) -> int:
    """The largest difference of two pictures, in levels."""
    return int(abs(pixels(one).astype(int) - pixels(other)).max())


def test_who_waits_is_painted_by_one_call():
    held = Held(standin)
    found = made(held, *(request(f"p{seed}", seed) for seed in (30, 20, 10)))
    assert held.calls == [(["p30", "p20", "p10"], {"seed": [30, 20, 10]})]
    assert shades(found) == [30, 20, 10]
    assert [one.name for one in found] == ["p30-30.png", "p20-20.png", "p10-10.png"]
    assert all(one.ms > 0 for one in found)


def test_pages_paint_one_at_a_time_unless_they_are_told():
    held = Held(standin)
    made(held, request("a", 1), request("b", 2), own=Answers.local(held, ABOUT))
    assert held.calls == [("a", {"seed": 1}), ("b", {"seed": 2})]


def test_only_what_one_call_can_tell_apart_is_one_call():
    held, ink = Held(standin), {"style": "ink"}
    requests = [
        request("a", 1),
        request("b", 2, **ink, style_scale=0.5),
        request("c", 3, decoder="large"),
        request("d", 4, style="anime"),
        request("e", 5, **ink),
        request("f", 6),
        request("g", 7, **ink, style_scale=0),
    ]
    found = made(held, *requests)
    assert held.calls == [
        (["a", "f"], {"seed": [1, 6]}),
        (["b", "e"], {"seed": [2, 5], "style": "ink", "style_scale": [0.5, 1]}),
        ("c", {"seed": 3, "decoder": "large"}),
        ("d", {"seed": 4, "style": "anime", "style_scale": 1}),
        ("g", {"seed": 7, "style": "ink", "style_scale": 0}),
    ]
    assert shades(found) == [1, 1, 3, 3, 4, 6, 6]


def test_a_format_is_each_ones_own():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    shown, saved = visit(held, own, own.paint(request("a")), own.download(request("b")))
    assert held.prompts == [["a", "b"]]
    assert shown["picture"].startswith("data:image/jpeg")
    assert saved["file"].startswith("data:image/png")


def test_one_bad_request_is_nobody_elses():
    held = Held(standin)
    good, bad, other = made(held, request("a", 7), request("bad"), request("long b", 9))
    assert held.prompts == [["a", "bad", "long b"], "a", "bad", "long b"]
    assert shades([good, other]) == [7, 9]
    assert str(bad) == "bad cannot be painted"
    assert (good.warning, other.warning) == ("", "not seen: long b")


@pytest.mark.parametrize("pictures", [None, [], [grey("a", seed=1)] * 3])
def test_a_call_that_gives_something_else_is_not_trusted(pictures):
    held = Held(
        lambda prompt, *, seed, **_: grey(prompt, seed=seed) if seed in (0, 5) else pictures
    )
    found = made(held, request("a", 5), request("b", 5))
    assert held.prompts == [["a", "b"], "a", "b"] and shades(found) == [5, 5]


def test_a_warning_reaches_whom_it_is_about():
    held = Held(standin)
    found = made(held, *map(request, ("a", "long b", "c", "long d")))
    assert held.prompts == [["a", "long b", "c", "long d"]]
    assert [one.warning for one in found] == ["", "not seen: long b", "", "not seen: long d"]


def test_a_warning_that_names_no_row_is_of_a_lone_picture():
    def warning(prompt: Any, **told: Any) -> Any:
        warnings.warn(PromptCutWarning("not seen: tail"), stacklevel=1)
        return standin(prompt, **told)

    both = made(Held(warning), request("a"), request("b"))
    assert [one.warning for one in both] == ["", ""]
    (alone,) = made(Held(warning), request("a"))
    assert alone.warning == "not seen: tail"


def test_with_and_without_a_style_at_once():
    held = Held(standin)
    ink = {"style": "ink"}
    found = made(
        held,
        request("a", 20, **ink, compare=True),
        request("b", 40, **ink),
        request("long c", 60, **ink, compare=True),
    )
    assert held.prompts == [["a", "b", "long c"], ["a", "long c"]]
    assert held.calls[1][1] == {"seed": [20, 60]}
    assert shades(found) == [19, 39, 59]
    assert [one.plain and pixels(one.plain)[0, 0] for one in found] == [20, b"", 60]
    assert [one.warning for one in found] == ["", "", "not seen: long c"]


def url(shade: int, drawn: bool = True) -> str:
    picture = Image.new("RGB", (64, 64), (shade,) * 3)
    if drawn:
        picture.paste((0, 0, 0), (0, 0, 2, 64))
    return data_url(encode(picture, "png"), "png")


def test_each_follows_their_own_drawing():
    """A blank one, a spoiled one and one with nothing to follow concern their own visitor alone."""

    def condition(name: str, picture: Image.Image) -> Image.Image:
        if picture.getpixel((9, 9)) == (99, 99, 99):
            raise NothingToFollow("there are no lines")
        return picture.convert("L").crop((9, 9, 10, 10))

    held = Held(standin)
    requests = [
        request("a", drawing=url(90), strength=0.5),
        request("blank", drawing=url(90, drawn=False)),
        request("spoiled", drawing="data:image/png;base64,AAA"),
        request("b", drawing=url(70), condition="sketch"),
        request("empty", drawing=url(99)),
        request("none"),
        request("canny", drawing=url(80), condition="canny"),
    ]
    found = made(held, *requests, own=Answers.local(held, ABOUT, condition, together=8))
    calls = [(prompt, sorted(told)) for prompt, told in held.calls]
    steered = ["control", "control_image", "control_scale", "seed"]
    assert calls == [
        (["a", "b"], steered),
        (["blank", "empty"], ["seed"]),
        ("none", ["seed"]),
        ("canny", steered),  # in a turn of its own: after who came before
    ]
    told = held.calls[0][1]
    assert (told["control"], told["control_scale"]) == ("sketch", [0.5, 1])
    assert [image.getpixel((0, 0)) for image in told["control_image"]] == [90, 70]
    assert found[0].followed and found[0].followed != found[3].followed and not found[1].followed
    assert isinstance(found[2], InputError) and "arrived damaged" in str(found[2])
    alone = "There are no lines; this is the prompt alone."
    hints = [found[place].hint for place in (0, 1, 3, 4, 5)]
    assert hints == ["", ALONE, "", alone, ALONE]


@pytest.mark.parametrize("name", apps.APPS)
def test_the_pages_of_a_model_paint_batches(name, monkeypatch):
    told: dict[str, Any] = {}
    monkeypatch.setattr(standin, "condition", None, raising=False)
    monkeypatch.setattr("sdxs.SDXS", SimpleNamespace(load=lambda *_, **__: standin))
    monkeypatch.setattr(About, "of", lambda *_, **__: ABOUT)
    for page in ("text_page", "sketch_page"):
        monkeypatch.setattr(f"sdxs.page.ui.{page}", lambda *_, **options: told.update(options))
    asked = ("checkpoint", "styles", "controls", "safety", "device", "dtype", "engine", "public")
    asked += ("certificate", "private_key", "no_parameters")
    apps.make_page(name, argparse.Namespace(**dict.fromkeys(asked)))
    assert told["together"] == apps.TOGETHER == 8


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("worn", [{}, {"style": "anime"}])
@pytest.mark.parametrize("steered", [False, True])
def test_a_batch_paints_what_each_would_get_alone(led_model, worn, steered):
    """To a level in 255, in float32: the sums of a batch are not rounded in the same order."""
    requests = [
        request("a red house", 7, **worn, style_scale=0.4, compare=True),
        request("a big blue tree", 0, **worn),
        request("a red house and a green tree and a blue ball at sunset and a zzyzx", 3, **worn),
    ]
    if steered:
        for row, each in enumerate(requests):
            picture = data_url(encode(drawing(row), "png"), "png")
            each |= {"drawing": picture, "strength": 0.5 + row / 2}
    about = About(decoders=("tiny", "large"), styles=("anime",), conditions=("sketch",))

    def condition(_: str, picture: Image.Image) -> Image.Image:
        return from_drawing(picture, (64, 64))

    held = Held(led_model)
    own = Answers.local(held, about, condition, together=8)
    batch = made(held, *requests, own=own)
    assert [len(prompt) for prompt in held.prompts[:1]] == [3]
    for each, one in zip(requests, batch, strict=True):
        alone = asyncio.run(Answers.local(led_model, about, condition).make(each, "png"))
        assert apart(one.file, alone.file) <= 1
        assert (one.followed, one.warning) == (alone.followed, alone.warning)
        assert bool(one.plain) == bool(alone.plain) == bool(each.get("compare") and worn)
        assert not one.plain or apart(one.plain, alone.plain) <= 1
        assert ("zzyzx" in one.warning) == ("zzyzx" in each["prompt"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_who_is_told_of_a_blurred_picture(edited):
    model = load(build_safety_checker(edited(), 0.5))
    requests = [request("a red house", seed) for seed in range(8)]
    batch = made(Held(model), *requests)
    said = [one.warning for one in batch]
    assert said == [asyncio.run(Answers.local(model).make(each)).warning for each in requests]
    assert len(set(said)) == 2 and "" in said
