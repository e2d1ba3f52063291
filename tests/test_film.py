"""Films: read back by Pillow and PyAV, frame by frame."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from sdxs import InputError, film
from sdxs.metadata import reading
from sdxs.metadata.marker import Label
from sdxs.metadata.parameters import parsed
from sdxs.metadata.xmp import AI_MADE

LABEL = Label("ein Häuschen 🦊", "storybook", {"Seed": 7}).of_film(frames=10)
TEXT = LABEL.text((64, 48))


def pictures(count: int = 10, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """A disc that goes to the right and changes its colour."""
    found = []
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    for at in range(count):
        page = np.full((size[1], size[0], 3), (230, 220, 30), np.uint8)
        disc = (x - 10 - 40 * at / count) ** 2 + (y - 24) ** 2 < 100
        page[disc] = (20, 90, 20 + 200 * at // count)
        found.append(Image.fromarray(page))
    return found


def apart(picture: Image.Image, other: Image.Image) -> float:
    numbers = [np.asarray(each.convert("RGB")).astype(float) for each in (picture, other)]
    return float(np.abs(numbers[0] - numbers[1]).mean())


def decoded(file: Path) -> list[Image.Image]:
    with av.open(str(file)) as opened:
        return [frame.to_image() for frame in opened.decode(video=0)]


@pytest.mark.parametrize("loop", [True, False])
def test_a_webp(loop: bool, tmp_path: Path) -> None:
    file, wanted = tmp_path / "it.webp", pictures()
    film.write(file, wanted, fps=12, loop=loop, label=LABEL)
    with Image.open(file) as found:
        assert (found.n_frames, found.size) == (10, (64, 48))
        assert found.info["loop"] == (0 if loop else 1)
        length = 0
        for frame, picture in zip(ImageSequence.Iterator(found), wanted, strict=True):
            frame.load()
            length += frame.info["duration"]
            assert apart(frame, picture) < 6
        assert length == round(10 * 1000 / 12)
    said = reading.read(file, "it")
    assert said and said.parameters == parsed(TEXT)
    assert AI_MADE.encode() in file.read_bytes()


def test_an_mp4(tmp_path: Path) -> None:
    file, wanted = tmp_path / "it.mp4", pictures(25)
    film.write(file, iter(wanted), fps=25, label=LABEL)
    with av.open(str(file)) as opened:
        stream = opened.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.width, context.height) == (64, 48)
        assert float(stream.average_rate) == 25 and float(stream.duration * stream.time_base) == 1
        assert opened.metadata["comment"] == TEXT
        assert int(context.colorspace) == film.BT709
    found = decoded(file)
    assert len(found) == 25
    assert max(apart(frame, picture) for frame, picture in zip(found, wanted, strict=True)) < 6
    colour = np.asarray(found[12])[2:10, 50:60].reshape(-1, 3).mean(0)  # of the ground
    assert np.abs(colour - (230, 220, 30)).max() < 6
    data = file.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it arrives


@pytest.mark.parametrize("name", ["it.webp", "it.MP4"])
def test_the_same_pictures_give_the_same_bytes_one_at_a_time(name: str, tmp_path: Path) -> None:
    wanted = pictures()
    asked: list[int] = []

    def frames() -> Iterator[Image.Image]:
        for number, picture in enumerate(wanted):
            asked.append(number)
            yield picture

    film.write(tmp_path / name, wanted)
    whole = (tmp_path / name).read_bytes()
    film.write(tmp_path / name, frames(), count=10)
    assert (tmp_path / name).read_bytes() == whole and asked == list(range(10))
    film.write(tmp_path / name, frames())
    assert (tmp_path / name).read_bytes() == whole


@pytest.mark.parametrize("name", ["it.webp", "it.mp4"])
def test_what_breaks_off_leaves_nothing_and_keeps_what_was_there(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"the last one")

    def frames() -> Iterator[Image.Image]:
        yield from pictures(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film.write(tmp_path / name, frames(), count=10)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"the last one"


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [*pictures(2), *pictures(1, (32, 32))]
    for name, frames, options, message in [
        ("it.gif", pictures(), {}, "the name of a film must end in .webp or .mp4"),
        ("it.webp", pictures(), {"fps": 0}, "fps must be a whole number from 1 to 60, not 0"),
        ("it.webp", pictures(), {"fps": 2.5}, "fps must be a whole number"),
        ("it.webp", pictures(), {"count": 11}, "a film of 11 frames has only 10"),
        ("it.webp", odd, {}, "one size"),
        ("it.mp4", odd, {}, "one size"),
        ("it.mp4", pictures(2, (33, 32)), {}, "even sides, not 33 x 32 pixels: write a .webp"),
        ("none/it.webp", pictures(), {}, "cannot write .*No such file"),
        ("none/it.mp4", pictures(), {}, "cannot write .*No such file"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            film.write(tmp_path / name, frames, **options)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"MP4 needs PyAV: pip install av, or write a"):
        film.write(tmp_path / "it.mp4", pictures())
    assert not list(tmp_path.iterdir())
