"""Numbers to pictures as diffusers rounds them, pictures to files that others can read."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sdxs import InputError, SDXSError
from sdxs.picture import MIME, SUFFIXES, encode, to_pictures


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


def test_a_png_knows_how_it_was_made(picture: Image.Image) -> None:
    info = {"prompt": "a fôx 🦊 \ud83d\0", "seed": 7, "checkpoint": "storybook"}
    read = Image.open(io.BytesIO(encode(picture, "png", info=info)))
    read.load()
    assert read.info["prompt"] == "a fôx 🦊 ?" and read.info["seed"] == "7"


def test_encoding_needs_no_torch() -> None:
    code = "import sdxs.picture, sdxs.request, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
