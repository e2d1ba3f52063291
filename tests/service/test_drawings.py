"""Drawings in requests: followed, blank, spoiled."""

import asyncio
import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from page.test_answers import PLAIN, grey, paint, said
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sdxs.conditions import from_drawing
from sdxs.errors import InputError, NothingToFollow
from sdxs.page.answers import Answers
from sdxs.picture import encode
from sdxs.service.about import About
from sdxs.service.drawings import data_url
from sdxs.service.painting import ALONE

asked: list[dict[str, Any]] = []


def followed(prompt: str, *, seed: int, **followed: Any) -> Image.Image:
    """Remembers what it was asked to follow."""
    asked.append(followed)
    return grey(prompt, seed=seed)


def shade(name: str, picture: Image.Image) -> Image.Image:
    """A condition that keeps one pixel; white is blank."""
    pixel = picture.convert("L").resize((1, 1))
    if pixel.getpixel((0, 0)) == 255:
        raise NothingToFollow("there are no lines")
    return pixel


def canvas(condition: Any = shade) -> Answers:
    asked.clear()
    return Answers.local(followed, About(conditions=("sketch", "outlines", "canny")), condition)


def url(shade: int, format: str = "png", drawn: bool = False) -> str:
    """A canvas of one grey, or with one side a bit darker."""
    picture = Image.new("RGB", (64, 64), (shade,) * 3)
    if drawn:
        picture.paste((shade - 20,) * 3, (0, 0, 2, 64))
    return data_url(encode(picture, format), format)


DRAWN = {**PLAIN, "drawing": url(90, drawn=True)}


@pytest.mark.parametrize(
    "type_", ["image/jpg", "image/pjpeg", "image/png", "", "IMAGE/JPEG;charset=utf-8", "text/plain"]
)
def test_a_picture_is_what_its_bytes_say(type_):
    jpeg = url(90, "jpeg", drawn=True).partition(",")[2]
    assert paint(canvas(), drawing=f"data:{type_};base64,{jpeg}")["note"] == ""
    assert abs(asked[0]["control_image"].getpixel((0, 0)) - 90) <= 2


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("way", "control"), [(None, "sketch"), ("outlines", "sketch"), ("canny", "canny")]
)
def test_a_drawing_is_followed(format, way, control):
    drawing = url(90, format, drawn=True)
    answer = paint(canvas(), drawing=drawing, condition=way, strength="0.5")
    assert answer["note"] == ""
    assert asked[0]["control"] == control and asked[0]["control_scale"] == 0.5
    image = asked[0]["control_image"]
    assert abs(image.getpixel((0, 0)) - 90) <= 2
    assert answer["control"] == data_url(encode(image, "png"), "png")


def test_a_picture_without_anything_to_follow_says_why():
    def nothing(name: str, picture: Image.Image) -> Image.Image:
        raise NothingToFollow("there are no edges to follow in the picture")

    answer = paint(canvas(nothing), DRAWN)
    assert answer["picture"] and answer["kind"] == "hint" and asked == [{}]
    alone = "There are no edges to follow in the picture; this is the prompt alone."
    assert answer["note"] == alone


def test_what_is_drawn_may_show_in_its_alpha_or_in_16_bits_alone():
    ink = Image.new("RGBA", (64, 64))
    ink.paste((0, 0, 0, 255), (8, 8, 12, 56))
    grey = np.full((64, 64), 60_000, np.uint16)
    grey[8:56, 8:12] = 4_000
    for drawing in (ink, Image.fromarray(grey)):
        own = canvas(lambda _, picture: from_drawing(picture, (64, 64)))
        answer = paint(own, drawing=data_url(encode(drawing, "png"), "png"))
        assert answer["note"] == "" and asked[0]["control"] == "sketch"


@pytest.mark.parametrize("drawing", [None, "", url(255), url(20)])
def test_a_blank_canvas_is_a_hint_beside_the_picture(drawing):
    answer = paint(canvas(), drawing=drawing)
    assert answer["picture"] and "control" not in answer and asked == [{}]
    assert (answer["note"], answer["kind"]) == (ALONE, "hint")


def test_strength_nought_counts():
    asyncio.run(canvas().make({**DRAWN, "strength": 0}))
    assert asked[0]["control_scale"] == 0


PNG = "data:image/png;base64,"
NOISE = encode(Image.effect_noise((64, 64), 90), "png")


@pytest.mark.parametrize(
    ("drawing", "why"),
    [
        (7, "no PNG, JPEG or WebP"),
        (["x"], "no PNG, JPEG or WebP"),
        ("<html></html>", "no PNG, JPEG or WebP"),
        ("data:image/png,plain", "no PNG, JPEG or WebP"),
        ("data:" + "a" * 9_000 + ";base64,", "no PNG, JPEG or WebP"),
        ("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "not a PNG, JPEG or WebP"),
        ("data:text/html;base64,PGI+", "not a PNG, JPEG or WebP"),
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
    request = {**PLAIN, "drawing": drawing}
    for answer in (paint(own, request), asyncio.run(own.download(request))):
        assert answer["kind"] == "error" and re.search(why, answer["note"])
        assert len(answer["note"]) < 300 and "\n" not in answer["note"]
    assert asked == []
    assert paint(own, DRAWN)["picture"]


def test_a_drawing_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    head = io.BytesIO()
    Image.new("1", (4_001, 4_000)).save(head, "PNG")

    def decode(self: Image.Image) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(PngImageFile, "load", decode)
    large = data_url(head.getvalue(), "png")
    assert "is too large" in paint(canvas(), drawing=large)["note"]
    assert "it was decoded" in paint(canvas(), DRAWN)["note"]  # the trap works


@pytest.mark.parametrize("way", ["depth", 7, ["sketch"]])
def test_a_way_to_follow_that_there_is_not(way):
    with pytest.raises(InputError, match="condition must be 'sketch', 'outlines', 'canny', not"):
        asyncio.run(canvas().make({**DRAWN, "condition": way}))


def test_the_png_says_what_was_followed():
    text = said(asyncio.run(canvas().make({**DRAWN, "seed": 5, "strength": 0.7}, "png")).file)
    assert (text["Condition"], text["Control scale"]) == ("sketch", "0.7")
    assert "Drawing" not in text and "Control image" not in text
