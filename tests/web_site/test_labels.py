"""What the site's files say: what sdxs.metadata reads of them, and the other way about."""

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxs.metadata import reading
from sdxs.metadata.marker import Label, Marker
from sdxs.metadata.xmp import AI_MADE, kept, packet
from sdxs.service import options
from sdxs.service.drawings import data_url
from sdxs.service.labels import Labels
from sdxs.service.restoring import restored
from tests.web_site.conftest import ABOUT, FACTS, ROWS, Call

TEXTS = ["a house\nSteps: 1, Seed: 7, Version: sdxs 1", "ein Häuschen\nSteps: 1", "雪 🏡\nSteps: 1"]
GIVEN: list[dict[str, Any]] = [
    {"prompt": "a red house", "seed": 7},
    {"prompt": "雪, 🏡", "seed": 2**63 - 1, "style": "anime", "style_scale": 0.35},
    {"prompt": "a\nhouse: x", "seed": 0, "template": "at sea", "to_prompt": 'b, "c"', "walk": 0.3},
    {"prompt": "a", "seed": 1, "style": "of another page", "style_scale": 0.5},
    {"prompt": "a", "seed": 1, "control": "sketch", "condition": "sketch", "strength": 0.5},
]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))


def rgba(picture: Image.Image) -> dict[str, Any]:
    return {"data": picture.convert("RGBA").tobytes(), "width": picture.width,
            "height": picture.height}  # fmt: skip


def test_a_png_keeps_every_pixel_and_says_how_it_was_made(
    call: Call, said: tuple[str, str], picture: Image.Image
) -> None:
    drawing = Image.fromarray(np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8))
    pixels, drawn = rgba(picture), rgba(drawing.convert("RGB"))
    files = call(*(["labels.js", "keepsake", [pixels, text, said[1], drawn]] for text in TEXTS))
    for text, file in zip(TEXTS, files, strict=True):
        with Image.open(io.BytesIO(file)) as opened:
            assert np.array_equal(opened, picture)
            assert opened.info["parameters"] == text
            assert AI_MADE in opened.info["XML:com.adobe.xmp"]
        found = reading.read(file, "it")
        if "Version" in text:
            assert found and np.array_equal(Image.open(io.BytesIO(found.drawing)), drawing)


def test_a_photo_or_nothing_leaves_the_mark_as_it_is(
    call: Call, said: tuple[str, str], picture: Image.Image
) -> None:
    for drawn in (None, rgba(picture)):
        (file,) = call(["labels.js", "keepsake", [rgba(picture), TEXTS[0], said[1], drawn]])
        assert Image.open(io.BytesIO(file)).info["XML:com.adobe.xmp"] == packet().decode()


def test_a_jpeg_says_the_same(call: Call, said: tuple[str, str], picture: Image.Image) -> None:
    plain = io.BytesIO()
    picture.save(plain, "JPEG")
    files = call(*(["labels.js", "marked", [plain.getvalue(), text, said[1]]] for text in TEXTS))
    for text, file in zip(TEXTS, files, strict=True):
        with Image.open(io.BytesIO(file)) as opened:
            assert np.array_equal(opened, Image.open(plain))
            assert opened.info["xmp"] == packet()
            theirs = Marker()(picture, "jpeg", Label("", ""))
            assert Image.open(io.BytesIO(theirs)).info["xmp"] == packet()
        assert reading._comment(Image.open(io.BytesIO(file)).info["exif"]) == text


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("layout", options.LAYOUTS)
def test_what_python_wrote_comes_back(
    format: str, layout: str, call: Call, picture: Image.Image
) -> None:
    rows = options.shown(ABOUT, layout)
    facts = [row for row in ROWS if row["field"] in {row.field for row in rows}]
    drawn = kept(Image.new("L", (4, 4), 255))
    files = [
        Marker()(picture, format, Labels(ABOUT).of(given, drawn if "control" in given else b""),
                 keep=True)
        for given in GIVEN
    ]  # fmt: skip
    asked = [{"file": data_url(file, format), "name": "it"} for file in files]
    answers = call(*(["reading.js", "read", [one, facts, FACTS]] for one in asked))
    for file, answer in zip(files, answers, strict=True):
        found = reading.read(file, "it")
        assert found
        request, _ = restored(found, rows, ABOUT)
        assert answer["request"] == {"style": "", **request}, answer


def test_of_other_programs_prompt_and_seed(call: Call, picture: Image.Image) -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks, file = PngInfo(), io.BytesIO()
    chunks.add_text("parameters", "a cat\nNegative prompt: dog\nSteps: 20, Seed: 9, Size: 512x512")
    picture.save(file, "PNG", pnginfo=chunks)
    asked = {"file": data_url(file.getvalue(), "png"), "name": "it"}
    (answer,) = call(["reading.js", "read", [asked, ROWS, FACTS]])
    assert answer["request"] == {"prompt": "a cat", "seed": "9", "style": ""}
    assert answer["note"] == "Size 512x512 left out: pictures here have 8x6."


def test_a_line_of_spaces_is_read_at_once(call: Call) -> None:
    begun = time.monotonic()
    assert call(["reading.js", "parsed", [" " * 99_990]]) == [None]
    assert time.monotonic() - begun < 10


def test_a_drawing_larger_than_a_canvas_is_left_out(call: Call, picture: Image.Image) -> None:
    drawn = io.BytesIO()
    Image.new("1", (3000, 3000)).save(drawn, "PNG")
    label = Labels(ABOUT).of({"prompt": "a", "seed": 1, "control": "sketch"}, drawn.getvalue())
    file = Marker()(picture, "png", label, keep=True)
    asked = {"file": data_url(file, "png"), "name": "it"}
    (answer,) = call(["reading.js", "read", [asked, ROWS, FACTS]])
    assert answer["request"]["prompt"] == "a" and "drawing" not in answer["request"]


def test_a_file_that_says_nothing(call: Call, picture: Image.Image) -> None:
    file = io.BytesIO()
    picture.save(file, "PNG")
    asked = {"file": data_url(file.getvalue(), "png"), "name": "it"}
    (answer,) = call(["reading.js", "read", [asked, ROWS, FACTS]])
    assert answer == {"note": "it says nothing of how it was made.", "kind": "hint"}
