"""Control pictures: what comes of drawings and photos, whatever they look like and how large."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFile, ImageFilter

from sdxs import InputError
from sdxs.conditions import CONDITIONS, canny, depth, from_photo

SIZE = (128, 96)


def drawn(
    size: tuple[int, int] = (640, 480),
    ink: Any = "black",
    ground: Any = "white",
    width: int = 6,
    mode: str = "RGB",
) -> Image.Image:
    """A house as a hand might draw it, without wobbling."""
    page = Image.new(mode, size, ground)
    corners = [(0.3, 0.85), (0.3, 0.5), (0.5, 0.2), (0.7, 0.5), (0.7, 0.85), (0.3, 0.85)]
    scaled = [(x * size[0], y * size[1]) for x, y in corners]
    ImageDraw.Draw(page).line(scaled, fill=ink, width=width, joint="curve")
    return page


def photo(size: tuple[int, int] = (300, 300)) -> Image.Image:
    page = Image.new("RGB", size, (30, 40, 90))
    box = [0.25 * size[0], 0.25 * size[1], 0.75 * size[0], 0.75 * size[1]]
    ImageDraw.Draw(page).rectangle(box, fill=(250, 220, 90))
    return page.filter(ImageFilter.GaussianBlur(1)) if min(size) > 100 else page


@pytest.fixture(params=CONDITIONS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def in_mode(picture: Image.Image, mode: str, **options: Any) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return picture.convert(mode, **options)


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def opened(file: bytes) -> Image.Image:
    """As Pillow opens it: nothing is decoded yet."""
    return Image.open(io.BytesIO(file))


def far(picture: Image.Image) -> Any:
    """A stand-in that sees depth: what is darker is nearer."""
    return 255 - np.asarray(picture.convert("L"), np.float32)


def make(name: str, picture: Image.Image, size: tuple[int, int] = SIZE, **options: Any) -> Any:
    condition = CONDITIONS[name]
    if condition.sees_depth:
        options["network"] = far
    return condition.make(picture, size, **options)


def lines(picture: Image.Image) -> Any:
    return np.asarray(picture.convert("L")) > 127


def overlap(a: Any, b: Any, reach: int = 2) -> float:
    """Of two sets of pixels, how much of the lesser lies within `reach` of the other."""
    near = np.ones((2 * reach + 1,) * 2, np.uint8)
    parts = [
        (x & (cv2.dilate(y.astype(np.uint8), near) > 0)).sum() / max(1, x.sum())
        for x, y in ((a, b), (b, a))
    ]
    return float(min(parts))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode(name: str, mode: str) -> None:
    source = drawn() if name == "sketch" else photo()
    ours = make(name, in_mode(source.convert("LA") if mode == "La" else source, mode))
    assert ours.mode == "RGB" and ours.size == SIZE
    assert lines(ours).any() and not lines(ours).all()
    if mode not in ("1", "P"):  # those lose too much
        assert overlap(lines(ours), lines(make(name, source.convert("L")))) > 0.9


@pytest.mark.parametrize("size", [(8, 8), (9, 400), (3000, 900), (3000, 2000)])
def test_every_size(name: str, size: tuple[int, int]) -> None:
    source = drawn(size, width=max(1, size[0] // 60)) if name == "sketch" else photo(size)
    if min(size) < 20 and name in ("outlines", "canny"):  # enlarged, it has no edges
        with pytest.raises(InputError, match="there are no"):
            make(name, source)
        return
    assert make(name, source).size == SIZE
    assert make(name, source, (64, 64)).size == (64, 64)


def test_the_source_stays_as_it_is(name: str) -> None:
    source = drawn()
    before = source.tobytes()
    assert make(name, source).tobytes() == make(name, source).tobytes()
    assert source.tobytes() == before


def test_canny_is_opencvs() -> None:
    source = photo((128, 96))
    ImageDraw.Draw(source).rectangle([4, 4, 20, 90], fill=(48, 58, 108))  # hardly seen
    theirs = cv2.Canny(np.asarray(source), 60, 120)
    ours = np.asarray(canny(source, SIZE, low=60, high=120))
    assert (ours == theirs[..., None]).all() and theirs.any()
    assert lines(canny(source, SIZE, low=400, high=400)).sum() <= lines(canny(source, SIZE)).sum()
    with pytest.raises(InputError, match="above its high one"):
        canny(source, SIZE, low=200, high=100)
    assert lines(canny(source, SIZE, low=20, high=40)).sum() > lines(canny(source, SIZE)).sum()
    for wrong in (float("nan"), "50", -1, None):
        with pytest.raises(InputError, match="0 to 1000"):
            canny(source, SIZE, high=wrong)  # type: ignore[arg-type]


def test_outlines_lie_where_the_edges_are() -> None:
    ours, edges = lines(from_photo(photo(), SIZE)), lines(canny(photo(), SIZE))
    assert overlap(ours, edges) > 0.9


@pytest.mark.parametrize("width", range(480, 520))
def test_any_shape_is_cropped(width: int) -> None:
    assert canny(photo((width, 700)), (480, 480)).size == (480, 480)


def test_a_photo_is_cropped_to_its_middle() -> None:
    wide = Image.new("RGB", (600, 100), "white")
    wide.paste(photo((100, 100)), (250, 0))
    ours, middle = (lines(canny(picture, (100, 100))) for picture in (wide, photo((100, 100))))
    assert overlap(ours, middle) > 0.9


def test_depth_fills_its_range() -> None:
    ours = np.asarray(depth(photo(), SIZE, network=far))
    assert ours.min() == 0 and ours.max() == 255
    flat = depth(photo(), SIZE, network=lambda seen: np.ones(seen.size[::-1], np.float32))
    assert (np.asarray(flat) == 128).all()


@pytest.mark.parametrize("ground", ["white", "black", "#808080"])
def test_a_blank_picture(name: str, ground: str) -> None:
    for source in (Image.new("RGB", (300, 200), ground), Image.new("RGBA", (300, 200))):
        with pytest.raises(InputError, match=r"there (are|is) no"):
            make(name, source)


def test_what_is_opened_stands_upright(name: str) -> None:
    source = drawn() if name == "sketch" else photo((300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = source.transpose(Image.Transpose.ROTATE_90)  # as the camera was held
    ours = make(name, opened(saved(turned, "PNG", exif=exif)))
    assert ours.tobytes() == make(name, source).tobytes()


def test_what_is_opened_may_be_bad(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = saved(Image.effect_noise((64, 64), 90), "PNG")
    with pytest.raises(InputError, match="cannot be read"):
        make(name, opened(noise[:2000]))
    moving = opened(saved(drawn(), "GIF", save_all=True, append_images=[drawn(ink="red")]))
    with pytest.raises(InputError, match="animated"):
        make(name, moving)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow's own warning
    huge = opened(saved(Image.new("1", (12_000, 12_000)), "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(InputError, match="too large"):
        make(name, huge)


@pytest.mark.parametrize(
    "bad",
    [Image.new("RGB", (1, 1)), Image.new("L", (500, 3)), Image.new("L", (9000, 9)), "drawing.png"],
)
def test_what_is_no_picture_to_follow(name: str, bad: Any) -> None:
    with pytest.raises(InputError, match=r"too small|Pillow"):
        make(name, bad)
