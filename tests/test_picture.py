"""Numbers to pictures as diffusers rounds them, pictures to files that others can read."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from test_conditions import in_mode, saved

from sdxs import InputError, SDXSError
from sdxs.picture import (
    LARGEST_AREA,
    LARGEST_FILE,
    MIME,
    SUFFIXES,
    encode,
    read_picture,
    smaller,
    to_pictures,
    to_rgb,
)


@pytest.fixture
def picture() -> Image.Image:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    return Image.fromarray(np.stack([np.tile(ramp, (48, 1))] * 3, axis=-1))


def test_equals_diffusers() -> None:
    from diffusers.image_processor import VaeImageProcessor

    images = torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    theirs = VaeImageProcessor().postprocess(images, output_type="pil")
    for ours, wanted in zip(to_pictures(images), theirs, strict=True):
        assert ours.size == (24, 16) and ours.mode == "RGB"
        assert ours.tobytes() == wanted.tobytes()


def test_extremes() -> None:
    images = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).expand(1, 3, 1, 5)
    assert list(to_pictures(images)[0].tobytes()[::3]) == [0, 0, 128, 255, 255]
    with pytest.raises(SDXSError, match="float32"):
        to_pictures(torch.full((1, 3, 8, 8), torch.nan))


@pytest.mark.parametrize("format", MIME)
def test_formats(format: str, picture: Image.Image) -> None:
    data = encode(picture, format)
    read = Image.open(io.BytesIO(data))
    assert read.format == format.upper() and read.size == picture.size
    difference = np.asarray(read.convert("RGB")).astype(int) - np.asarray(picture)
    assert abs(difference).max() <= (0 if format == "png" else 12)
    assert data == encode(picture, format)  # the same bytes each time
    assert set(SUFFIXES.values()) == set(MIME)


def test_jpeg_is_the_default(picture: Image.Image) -> None:
    assert encode(picture) == encode(picture, "jpeg", quality=90)
    assert len(encode(picture, quality=40)) < len(encode(picture))
    with pytest.raises(InputError, match="gif"):
        encode(picture, "gif")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    out = bytearray(saved(Image.new("RGB", (4, 4)), "PNG"))
    out[16:24] = struct.pack(">II", width, height)
    out[29:33] = struct.pack(">I", zlib.crc32(out[12:29]))
    return bytes(out)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_is_read(mode: str, picture: Image.Image, tmp_path: Path) -> None:
    given = picture.convert("L").convert("RGB")
    changed = in_mode(given, mode, palette=Image.Palette.ADAPTIVE)
    format = "JPEG" if mode == "CMYK" else "PNG"
    file = tmp_path / f"picture.{format}"
    file.write_bytes(saved(changed, format))
    ours = to_rgb(read_picture(file))
    wanted = given.convert("1").convert("RGB") if mode == "1" else given
    assert ours.mode == "RGB" and ours.size == given.size
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(wanted)).max() <= 6


def test_what_is_transparent_shows_the_ground() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(clear, "black").getpixel((0, 0)) == (0, 0, 0)
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert to_rgb(half).getpixel((0, 0)) == pytest.approx((255, 127, 127), abs=1)
    indexed = Image.new("P", (4, 4))
    indexed.info["transparency"] = 0
    assert to_rgb(indexed).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_as_it_was_taken(orientation: int, picture: Image.Image) -> None:
    turns = [
        None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
    ]  # fmt: skip
    turn = turns[orientation - 1]  # what the camera did; its tag says how to undo it
    exif = Image.Exif()
    exif[0x0112] = orientation
    taken = picture if turn is None else picture.transpose(turn)
    assert read_picture(saved(taken, "PNG", exif=exif)).tobytes() == picture.tobytes()


def moving(mode: str, format: str) -> bytes:
    more = Image.new(mode, (9, 9), "white")
    return saved(Image.new(mode, (9, 9)), format, save_all=True, append_images=[more])


FOREIGN, LARGE = "is not a PNG, JPEG or WebP picture", "too large"
BAD = {  # bytes, and what is said of them
    "empty": (b"", FOREIGN),
    "text": (b"this is no picture\n" * 9, FOREIGN),
    "page": (b"<!DOCTYPE html><html><body>hello</body></html>", FOREIGN),
    "gif": (saved(Image.new("P", (9, 9)), "GIF"), FOREIGN),
    "bmp": (saved(Image.new("RGB", (9, 9)), "BMP"), FOREIGN),
    "tiff": (saved(Image.new("RGB", (9, 9)), "TIFF"), FOREIGN),
    "truncated": (saved(Image.effect_noise((64, 64), 50), "PNG")[:2000], "cannot be read"),
    "header only": (saved(Image.new("L", (64, 64)), "JPEG")[:30], "cannot be read"),
    "moving gif": (moving("L", "GIF"), FOREIGN),
    "moving png": (moving("L", "PNG"), "animated"),
    "moving webp": (moving("RGB", "WEBP"), "animated"),
    "12000 pixels": (png_header(12_000, 12_000), LARGE),
    "bomb": (png_header(60_000, 60_000), LARGE),
    "no pixels": (png_header(0, 5), "picture"),
}


@pytest.mark.parametrize(("data", "said"), BAD.values(), ids=BAD)
def test_bad_files(data: bytes, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "drawing.png"
    file.write_bytes(data)
    if said == LARGE:  # its size is known before anything is decoded
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    for source in (file, data):
        with pytest.raises(InputError, match=said) as caught:
            read_picture(source)
        message = str(caught.value)
        assert "\n" not in message and len(message) < 400 + len(str(file))
        assert ("drawing.png" if source is file else "the picture") in message


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path)
    large = tmp_path / "large.png"
    with open(large, "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="MB"):
        read_picture(large)


def test_large_ones_are_read_as_long_as_they_fit() -> None:
    side = 7000
    assert side * side < LARGEST_AREA
    picture = read_picture(saved(Image.new("L", (side, side), 9), "JPEG"))
    assert 2048 <= picture.width < side  # a JPEG is decoded smaller
    kept = read_picture(saved(Image.new("1", (side, side)), "PNG"))
    assert 2048 <= kept.width < side


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"])
def test_made_smaller(mode: str, picture: Image.Image) -> None:
    small = picture.convert("L").resize((400, 300))
    large = Image.fromarray(np.asarray(small).repeat(3, 0).repeat(3, 1))
    given = in_mode(large, mode)
    ours = smaller(given, 400)
    assert ours.size == (400, 300) and smaller(given, 601) is given
    if mode != "1":  # which is dithered
        wanted = np.asarray(small.convert("RGB")).astype(int)
        assert np.abs(np.asarray(to_rgb(ours)) - wanted).max() <= 3


def test_what_is_made_smaller_stands_upright() -> None:
    wide = Image.new("L", (4100, 600))
    wide.paste(255, (0, 0, 4100, 300))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned
    for format in ("PNG", "JPEG"):
        read = read_picture(saved(wide, format, exif=exif))
        assert read.height > 6 * read.width
        assert read.getpixel((read.width - 3, 9)) > 250 and read.getpixel((3, 9)) < 5
