"""Lines of drawings: pen or chalk, page or photo of one, with patches, frames and faint pencils."""

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_conditions import SIZE, drawn, lines, overlap

from sdxs import InputError
from sdxs.drawing import POLARITIES, from_drawing


@pytest.fixture(scope="module")
def plain() -> Any:
    """The lines of the drawing as everything else should come out, too."""
    return lines(from_drawing(drawn(), SIZE))


@pytest.mark.parametrize(
    ("ink", "ground", "mode"),
    [
        ("black", "white", "RGB"),
        ("white", "black", "RGB"),
        ("#2040a0", "#fff8e0", "RGB"),  # a pen on yellowish paper
        ("#f0f0e0", "#204030", "RGB"),  # chalk on a green board
        ("#999999", "white", "RGB"),  # a pencil
        ("#e6e6e6", "#fafafa", "RGB"),  # a faint one
        ((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
        ((255, 255, 255, 255), (0, 0, 0, 0), "RGBA"),
        ((255, 255, 255, 255), (255, 255, 255, 0), "RGBA"),
    ],
)
def test_polarity_is_seen(ink: Any, ground: Any, mode: str, plain: Any) -> None:
    assert overlap(lines(from_drawing(drawn(ink=ink, ground=ground, mode=mode), SIZE)), plain) > 0.9


@pytest.mark.parametrize("margin", [20, 60, 100])  # the page is 54 % of the last
@pytest.mark.parametrize(
    ("ink", "page", "table"),
    [
        ("black", "white", "#403020"), ("#404040", "#f0f0e0", "#806040"),
        ("white", "#204030", "#e8e0d0"), ("white", "black", "white"),
    ],
)  # fmt: skip
def test_polarity_is_seen_on_a_page_that_lies_on_a_table(
    margin: int, ink: str, page: str, table: str
) -> None:
    whole = Image.new("RGB", (640, 480), table)
    whole.paste(drawn((640 - 2 * margin, 480 - 2 * margin), ink, page), (margin, margin))
    polarity = "chalk" if ink == "white" else "ink"
    told = from_drawing(whole, SIZE, polarity=polarity)
    assert from_drawing(whole, SIZE).tobytes() == told.tobytes()
    other = from_drawing(whole, SIZE, polarity=POLARITIES[1 + (polarity == "ink")])
    assert other.tobytes() != told.tobytes()


def test_polarity_can_be_set(plain: Any) -> None:
    assert overlap(lines(from_drawing(drawn(), SIZE, polarity="ink")), plain) == 1
    both = Image.new("RGB", (640, 480), "#808080")
    ImageDraw.Draw(both).line([160, 100, 160, 400], fill="black", width=6)
    ImageDraw.Draw(both).line([480, 100, 480, 400], fill="white", width=6)
    for polarity, column in (("ink", 32), ("chalk", 96)):
        found = np.flatnonzero(lines(from_drawing(both, SIZE, polarity=polarity)).any(0))
        assert abs(found - column).max() <= 2
    with pytest.raises(InputError, match="auto, ink, chalk"):
        from_drawing(drawn(), SIZE, polarity="oil")
    assert POLARITIES[0] == "auto"


def taken(page: Image.Image, noise: float) -> Image.Image:
    """A photograph of a page: it is darker on the left, and noisy."""
    grey = np.asarray(page.convert("L")).astype(float)
    grey *= np.linspace(0.5, 1, grey.shape[1])
    grey += np.random.default_rng(0).normal(0, noise, grey.shape)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "ink", "noise"),
    [((640, 480), "#303040", 5), ((640, 480), "#202020", 12), ((3000, 2250), "#a0a0a0", 6)],
)
def test_a_drawing_photographed(size: tuple[int, int], ink: str, noise: float, plain: Any) -> None:
    page = drawn(size, ink=ink, ground="#e8e4dc", width=size[0] // 120)
    assert overlap(lines(from_drawing(taken(page, noise), SIZE)), plain) > 0.9


@pytest.mark.parametrize("noise", [3, 6, 12])
@pytest.mark.parametrize("size", [(128, 96), (640, 480), (3000, 2250)])
def test_a_blank_page_photographed(size: tuple[int, int], noise: float) -> None:
    with pytest.raises(InputError, match="no lines"):
        from_drawing(taken(Image.new("RGB", size, "#e8e4dc"), noise), SIZE)


@pytest.mark.parametrize("width", [2, 8, 25])
@pytest.mark.parametrize(("ink", "ground"), [("black", "white"), ("white", "#204030")])
def test_a_frame_does_not_hide_the_drawing(width: int, ink: str, ground: str) -> None:
    page = drawn(ink=ink, ground=ground)
    ImageDraw.Draw(page).rectangle([0, 0, 639, 479], outline=ink, width=width)
    middle = (slice(12, -12),) * 2
    ours, plain = (lines(from_drawing(part, SIZE))[middle] for part in (page, drawn()))
    assert overlap(ours, plain) > 0.9


def test_a_page_with_transparent_edges() -> None:
    page = Image.new("RGBA", (640, 480))
    page.paste(drawn((560, 400)), (40, 40))
    ours = lines(from_drawing(page, SIZE))
    opaque, middle = lines(from_drawing(page.convert("RGB"), SIZE)), (slice(16, -16),) * 2
    assert overlap(ours[middle], opaque[middle]) > 0.5
    assert 0.01 < ours.mean() < 0.12


@pytest.mark.parametrize("fill", ["black", "#c02020", "#4060f0"])
def test_of_a_patch_the_outline_is_taken(fill: str) -> None:
    page = Image.new("RGB", (640, 480), "white")
    ImageDraw.Draw(page).rectangle([160, 120, 480, 360], fill=fill)
    outline = np.zeros((96, 128), np.uint8)
    cv2.rectangle(outline, (32, 24), (96, 72), 255, 2)
    assert overlap(lines(from_drawing(page, SIZE)), outline > 0) > 0.95


@pytest.mark.parametrize("across", [220, 360])  # a quarter and two thirds of the picture
def test_of_a_patch_alone_the_outline_is_taken(across: int) -> None:
    icon = Image.new("RGBA", (400, 400))
    box = [200 - across // 2, 200 - across // 2, 200 + across // 2, 200 + across // 2]
    ImageDraw.Draw(icon).ellipse(box, fill="#c02020")
    outline = np.zeros((100, 100), np.uint8)
    cv2.circle(outline, (50, 50), across // 8, 255, 2)
    assert overlap(lines(from_drawing(icon, (100, 100))), outline > 0) > 0.95


def test_thin_lines_beside_a_patch_stay_lines(plain: Any) -> None:
    page = drawn((2560, 1920), width=4)
    ImageDraw.Draw(page).ellipse([2000, 100, 2300, 400], fill="black")
    ours = lines(from_drawing(page, SIZE))
    ours[:, 95:] = False  # the patch
    assert overlap(ours, plain) > 0.9


@pytest.mark.parametrize(("size", "width"), [((2560, 1920), 2), ((2560, 1920), 60), ((96, 72), 1)])
def test_a_line_is_a_line(size: tuple[int, int], width: int, plain: Any) -> None:
    ours = lines(from_drawing(drawn(size, width=width), SIZE))
    assert overlap(ours, plain) > 0.95
    assert 0.01 < ours.mean() < 0.12


def test_the_whole_drawing_is_fitted_in() -> None:
    ours = lines(from_drawing(drawn((900, 300), width=5), (128, 128)))
    rows = np.flatnonzero(ours.any(1))
    assert rows[0] > 40 and rows[-1] < 88  # a third of the height, in the middle
