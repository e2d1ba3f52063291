"""What is drawn on the canvas becomes the control image that Python makes of it."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sdxs.drawing import from_drawing

FOLLOW = """
import { fromDrawing, isBlank } from "./engine/sketch.js";
const bytes = (text) => new Uint8ClampedArray(Buffer.from(text, "base64"));
console.log(JSON.stringify(given.map(({ data, from: [width, height], size, polarity }) => {
  const drawing = { data: bytes(data), width, height };
  try {
    const image = fromDrawing(drawing, size, polarity);
    const data = Buffer.from(image.data.buffer).toString("base64");
    return { ...image, data, blank: isBlank(drawing) };
  } catch (error) {
    if (!error.kind) throw error;
    return { kind: error.kind, message: error.message, blank: isBlank(drawing) };
  }
})));
"""
INK, PAPER = "#101010", "#ffffff"  # of the canvas, see drawing.js


def sheet(
    seed: int,
    sides: tuple[int, int] = (512, 512),
    ink: str = INK,
    paper: str = PAPER,
    smooth: int = 1,
) -> Image.Image:
    """Strokes, rings and patches, as soft at their edges as a canvas draws them."""
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", (sides[0] * smooth, sides[1] * smooth), paper)
    draw = ImageDraw.Draw(page)
    for _ in range(rng.integers(1, 7)):
        points = (rng.integers(0, min(sides), (rng.integers(2, 7), 2)) * smooth).tolist()
        width = int(rng.choice([1, 3, 5, 10, 18, 40])) * smooth
        (left, top), (right, bottom) = np.sort(points[:2], 0).tolist()
        box = [left, top, right + 1, bottom + 1]
        match rng.integers(0, 4):
            case 0:
                draw.ellipse(box, outline=ink, width=width)
            case 1:
                draw.rectangle(box, fill=rng.choice([ink, "#c02020", "#4060f0"]))
            case _:
                draw.line([tuple(point) for point in points], fill=ink, width=width, joint="curve")
    return page.resize(sides, Image.Resampling.LANCZOS)


def photographed(page: Image.Image) -> Image.Image:
    """Darker on the left, and noisy."""
    grey = np.asarray(page.convert("L")) * np.linspace(0.5, 1, page.width)
    grey += np.random.default_rng(0).normal(0, 5, grey.shape)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")


def given(page: Image.Image, size: tuple[int, int], polarity: str = "auto") -> dict[str, Any]:
    data = base64.b64encode(page.convert("RGBA").tobytes()).decode()
    return {"data": data, "from": page.size, "size": size, "polarity": polarity}


PAGES = [  # page, size of the control image, polarity
    *[(sheet(seed, smooth=1 + seed % 2), (256, 256), "auto") for seed in range(4)],
    (sheet(6, ink="#f0f0e0", paper="#101010", smooth=2), (256, 256), "auto"),  # chalk
    (sheet(7), (256, 256), "chalk"),
    (photographed(sheet(8, smooth=2)), (256, 256), "auto"),
    (sheet(9, (512, 256)), (128, 64), "auto"),
    (sheet(10, (1024, 768), smooth=2), (512, 384), "auto"),  # larger than it is looked at
    (sheet(11, (1024, 1024)), (1024, 1024), "ink"),
    (sheet(12), (200, 300), "auto"),  # of another shape
]


def test_drawings_are_followed_as_in_python(node: Callable[..., Any]) -> None:
    found = node(FOLLOW, [given(*page) for page in PAGES])
    for (page, size, polarity), image in zip(PAGES, found, strict=True):
        wanted = np.asarray(from_drawing(page, size, polarity=polarity)).astype(int)
        assert (image["width"], image["height"]) == size and not image["blank"]
        pixels = np.frombuffer(base64.b64decode(image["data"]), np.uint8).reshape(*size[::-1], 4)
        assert np.abs(pixels[..., :3] - wanted).max() <= 1 and (pixels[..., 3] == 255).all()


def test_of_nothing_nothing_is_made(node: Callable[..., Any]) -> None:
    blank = [Image.new("RGB", (128, 128), colour) for colour in (PAPER, INK)]
    speck = Image.new("RGB", (128, 128), PAPER)
    speck.putpixel((100, 100), (0, 0, 0))
    found = node(FOLLOW, [given(page, (64, 64)) for page in (*blank, speck)])
    assert [each["kind"] for each in found] == ["nothing"] * 3
    assert [each["blank"] for each in found] == [True, True, False]
    with pytest.raises(ValueError, match="there are no lines to follow") as refused:
        from_drawing(speck, (64, 64))
    assert found[2]["message"] == str(refused.value)
    [other] = node(FOLLOW, [given(sheet(0), (64, 64), "oil")])
    assert other["kind"] == "input" and "auto, ink, chalk" in other["message"]


def test_what_is_transparent_is_paper(node: Callable[..., Any]) -> None:
    page = sheet(1, (256, 256)).convert("L").point(lambda grey: 255 * (grey < 128))
    strokes = Image.new("RGBA", page.size, INK)
    strokes.putalpha(page)
    paper = Image.alpha_composite(Image.new("RGBA", page.size, "white"), strokes)
    ours, plain = node(FOLLOW, [given(page, (128, 128)) for page in (strokes, paper)])
    assert ours == plain
