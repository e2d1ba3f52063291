"""The studio without a page: turns, limits, and strange requests."""

import asyncio
import base64
import io
import re
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sdxs.conditions import from_drawing
from sdxs.errors import InputError, NothingToFollow, PromptCutWarning
from sdxs.page import answers as page_answers
from sdxs.page.answers import Studio, data_url, file_name, parse_prompt, parse_seed, parse_strength
from sdxs.picture import encode


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


def test_who_leaves_before_their_turn_costs_nothing(monkeypatch):
    monkeypatch.setattr(page_answers, "MOST_WAITING", 2)
    begun, finish, made = threading.Event(), threading.Event(), []

    def slow(prompt: str, *, seed: int) -> Image.Image:
        made.append(prompt)
        begun.set()
        finish.wait(30)
        return grey(prompt, seed=seed)

    async def visits() -> None:
        own = Studio(slow)
        first = asyncio.ensure_future(own.make("first", 1))
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(9):  # more than may wait, one after the other
            leaving = asyncio.ensure_future(own.make("leaving", 1))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        last = asyncio.ensure_future(own.make("last", 1))
        await asyncio.sleep(0)
        finish.set()
        await asyncio.gather(first, last)

    asyncio.run(visits())
    assert made == ["first", "last"]


def test_a_crowd_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(page_answers, "MOST_WAITING", 2)

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
    + [{"prompt": "a" * (page_answers.LONGEST_PROMPT + 1), "seed": "0"}],
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


# Styles


def styled(prompt: str, *, seed: int, **worn: Any) -> Image.Image:
    """A grey that says how much of a style it wears."""
    return Image.new("L", (16, 16), round(100 * worn.get("style_scale", 0)) if worn else 7)


def test_a_style_is_worn_as_strongly_as_asked():
    own = Studio(styled, choices={"style": ("anime",)})
    request = {"prompt": "a", "seed": 1, "style": "anime"}
    for scale, shade in ((None, 100), ("0.5", 50), (0, 0), (2, 200)):
        answer = asyncio.run(own.paint({**request, "style_scale": scale}))
        assert answer["picture"] == data_url(encode(Image.new("L", (16, 16), shade)), "jpeg")
        assert "plain" not in answer
    for wrong in (-1, "much"):
        answer = asyncio.run(own.paint({**request, "style_scale": wrong}))
        assert answer["kind"] == "error" and "cannot be used" in answer["note"]
    without = asyncio.run(own.paint({"prompt": "a", "seed": 1, "style_scale": 0.5}))
    assert without["picture"] == data_url(encode(Image.new("L", (16, 16), 7)), "jpeg")


def test_a_warning_about_both_pictures_is_said_once():
    def cut(prompt: str, *, seed: int, **worn: Any) -> Image.Image:
        warnings.warn(PromptCutWarning("not seen: tail"), stacklevel=1)
        return styled(prompt, seed=seed, **worn)

    own = Studio(cut, choices={"style": ("anime",)})
    request = {"prompt": "a", "seed": 1, "style": "anime", "compare": True}
    assert asyncio.run(own.paint(request))["note"] == "not seen: tail"


def test_with_and_without_a_style():
    own = Studio(styled, choices={"style": ("anime",)})
    request = {"prompt": "a", "seed": 1, "compare": True}
    assert "plain" not in asyncio.run(own.paint(request))
    answer = asyncio.run(own.paint({**request, "style": "anime"}))
    assert answer["plain"] == data_url(encode(Image.new("L", (16, 16), 7)), "jpeg")
    assert answer["picture"] != answer["plain"]
    assert "file" in asyncio.run(own.download({**request, "style": "anime"}))
    assert "plain" not in asyncio.run(own.paint({**request, "style": "anime", "compare": "yes"}))


# A page with a canvas


def shade(name: str, picture: Image.Image) -> Image.Image:
    """A condition that keeps one pixel; white is blank."""
    pixel = picture.convert("L").resize((1, 1))
    if pixel.getpixel((0, 0)) == 255:
        raise NothingToFollow("there are no lines")
    return pixel


def followed(prompt: str, *, seed: int, **followed: Any) -> Image.Image:
    """Remembers what it was asked to follow."""
    asked.append(followed)
    return grey(prompt, seed=seed)


asked: list[dict[str, Any]] = []


def canvas(condition: Any = shade) -> Studio:
    asked.clear()
    ways = {"condition": ("sketch", "outlines", "canny")}
    return Studio(followed, condition=condition, choices=ways)


def url(shade: int, format: str = "png", drawn: bool = False) -> str:
    """A canvas of one grey, or with one side a bit darker."""
    picture = Image.new("RGB", (64, 64), (shade,) * 3)
    if drawn:
        picture.paste((shade - 20,) * 3, (0, 0, 2, 64))
    return data_url(encode(picture, format), format)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("way", "control"), [(None, "sketch"), ("outlines", "sketch"), ("canny", "canny")]
)
def test_a_drawing_is_followed(format, way, control):
    request = {"prompt": "a", "seed": 1, "drawing": url(90, format, drawn=True), "condition": way}
    answer = asyncio.run(canvas().paint({**request, "strength": "0.5"}))
    assert answer["note"] == ""
    assert asked[0]["control"] == control and asked[0]["control_scale"] == 0.5
    image = asked[0]["control_image"]
    assert abs(image.getpixel((0, 0)) - 90) <= 2
    assert answer["control"] == data_url(encode(image, "png"), "png")


def test_a_picture_without_anything_to_follow_says_why():
    def nothing(name: str, picture: Image.Image) -> Image.Image:
        raise NothingToFollow("there are no edges to follow in the picture")

    own = canvas(nothing)
    answer = asyncio.run(own.paint({"prompt": "a", "seed": 1, "drawing": url(90, drawn=True)}))
    assert answer["picture"] and answer["kind"] == "hint" and asked == [{}]
    assert answer["note"] == (
        "There are no edges to follow in the picture; this is the prompt alone."
    )


def test_what_is_drawn_may_show_in_its_alpha_or_in_16_bits_alone():
    ink = Image.new("RGBA", (64, 64))
    ink.paste((0, 0, 0, 255), (8, 8, 12, 56))
    grey = np.full((64, 64), 60_000, np.uint16)
    grey[8:56, 8:12] = 4_000
    for drawing in (ink, Image.fromarray(grey)):
        sent = data_url(encode(drawing, "png"), "png")
        own = canvas(lambda _, picture: from_drawing(picture, (64, 64)))
        answer = asyncio.run(own.paint({"prompt": "a", "seed": 1, "drawing": sent}))
        assert answer["note"] == "" and asked[0]["control"] == "sketch"


@pytest.mark.parametrize("drawing", [None, "", url(255), url(20)])
def test_a_blank_canvas_is_a_hint_beside_the_picture(drawing):
    answer = asyncio.run(canvas().paint({"prompt": "a", "seed": 1, "drawing": drawing}))
    assert answer["picture"] and "control" not in answer and asked == [{}]
    assert (answer["note"], answer["kind"]) == (page_answers.ALONE, "hint")


def test_strength_nought_counts():
    asyncio.run(canvas().make("a", 1, drawing=url(90, drawn=True), strength=0))
    assert asked[0]["control_scale"] == 0


PNG = "data:image/png;base64,"
NOISE = encode(Image.effect_noise((64, 64), 90), "png")


@pytest.mark.parametrize(
    ("drawing", "why"),
    [
        (7, "no PNG, JPEG or WebP"),
        (["x"], "no PNG, JPEG or WebP"),
        ("<html></html>", "no PNG, JPEG or WebP"),
        ("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "no PNG, JPEG or WebP"),
        ("data:text/html;base64,PGI+", "no PNG, JPEG or WebP"),
        (PNG + "AAA", "arrived damaged"),
        (PNG + "é" * 9, "arrived damaged"),
        (PNG + "!" * 8, "arrived damaged"),
        (PNG, "not a PNG"),
        (PNG + base64.b64encode(NOISE[: len(NOISE) // 2]).decode(), "cannot be read"),
        (PNG + "R0lGODlhAQABAAAAACw=", "not a PNG"),
        (PNG + base64.b64encode(b"<svg></svg>").decode(), "not a PNG"),
        (PNG + "A" * 50_000_000, "more than 6 MB"),
    ],
)
def test_a_spoiled_drawing_is_one_line(drawing, why):
    own = canvas()
    request = {"prompt": "a", "seed": 1, "drawing": drawing}
    for answer in (asyncio.run(own.paint(request)), asyncio.run(own.download(request))):
        assert answer["kind"] == "error" and re.search(why, answer["note"])
        assert len(answer["note"]) < 300 and "\n" not in answer["note"]
    assert asked == []
    assert asyncio.run(own.paint({**request, "drawing": url(90, drawn=True)}))["picture"]


def test_a_drawing_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    head = io.BytesIO()
    Image.new("1", (4_001, 4_000)).save(head, "PNG")

    def decode(self: Image.Image) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(PngImageFile, "load", decode)
    request = {"prompt": "a", "seed": 1, "drawing": data_url(head.getvalue(), "png")}
    assert "is too large" in asyncio.run(canvas().paint(request))["note"]
    request["drawing"] = url(90, drawn=True)
    assert "it was decoded" in asyncio.run(canvas().paint(request))["note"]  # the trap works


@pytest.mark.parametrize("strength", ["", "much", -0.1, 2.1, float("nan"), True, [1], "1" * 999])
def test_bad_strengths(strength):
    with pytest.raises(InputError, match=r"strength .* cannot be used"):
        parse_strength(strength)


@pytest.mark.parametrize("way", ["depth", 7, ["sketch"]])
def test_a_way_to_follow_that_there_is_not(way):
    with pytest.raises(InputError, match="There is no condition"):
        asyncio.run(canvas().make("a", 1, drawing=url(90, drawn=True), condition=way))


def test_a_template_holds_the_prompt():
    seen = []

    def generate(prompt: str, *, seed: int) -> Image.Image:
        seen.append(prompt)
        return grey(prompt, seed=seed)

    own = Studio(generate, templates={"sea": "{prompt} on the sea"})
    made = asyncio.run(own.make("a {boat}", 1, template="sea", format="png"))
    assert seen == ["a {boat} on the sea"]
    assert Image.open(io.BytesIO(made.file)).text["prompt"] == seen[0]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="There is no template 'land'"):
        asyncio.run(own.make("a", 1, template="land"))


def test_the_png_says_what_was_followed():
    file = asyncio.run(
        canvas().make("a", 5, drawing=url(90, drawn=True), strength=0.7, format="png")
    ).file
    text = Image.open(io.BytesIO(file)).text  # type: ignore[attr-defined]
    assert (text["condition"], text["control_scale"]) == ("sketch", "0.7")
    assert "drawing" not in text
