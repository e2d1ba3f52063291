"""A film on the command line, as a person asks for one and misuses it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import pytest
from PIL import Image, ImageSequence

from sdxs import SDXS, film
from sdxs.__main__ import main
from sdxs.metadata import reading

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(ran: Run) -> Run:
    return partial(ran, main)


def test_films(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    tiny = ["--checkpoint", tiny_checkpoint, "--device", "cpu", "--dtype", "float32"]
    file = tmp_path / "walk.webp"
    way = ["tree", "--to-prompt", "a red house", "--frames", 12, "--output", file]
    status, out, err = run(*way, "--loop", *tiny)
    assert (status, out) == (0, f"{file}  12 frames  0.75 s at 16 a second\n"), err
    with Image.open(file) as found:
        assert (found.size, found.info["loop"]) == ((64, 64), 0)
        lasts = 0
        for frame in ImageSequence.Iterator(found):  # what is alike is one frame in the file
            frame.load()
            lasts += frame.info["duration"]
        assert lasts == 750
    said = reading.read(file, "it")
    assert said and said.parameters.prompt == "tree"
    wanted = {"To prompt": "a red house", "Frames": "12", "Fps": "16", "Loop": "True"}
    assert wanted.items() <= said.parameters.settings.items()
    assert "Walk" not in said.parameters.settings

    file = tmp_path / "walk.mp4"
    size = ["--size", "96x64", "--fps", 12, "--output", file]
    assert run("word " * 40, "--to-seed", 5, "--frames", 9, *size, *tiny)[2].count("warning") == 1
    with av.open(str(file)) as opened:
        frames = [frame.to_image() for frame in opened.decode(video=0)]
    assert [frame.size for frame in frames] == [(96, 64)] * 9


def test_a_picture_on_the_way(
    tiny_checkpoint: Path, tiny_model: SDXS, tmp_path: Path, run: Run
) -> None:
    tiny = ["--checkpoint", tiny_checkpoint, "--device", "cpu", "--dtype", "float32"]
    file = tmp_path / "it.png"
    status, _, err = run("tree", "--to-seed", 5, "--walk", 0.3, "--output", file, *tiny)
    assert status == 0, err
    with Image.open(file) as picture:
        assert picture.tobytes() == tiny_model("tree", to_seed=5, walk=0.3).tobytes()
    settings = reading.read(file, "it").parameters.settings
    assert (settings["To seed"], settings["Walk"]) == ("5", "0.3")
    assert run("tree", "--to-seed", 5, "--output", file, *tiny)[0] == 0
    assert reading.read(file, "it").parameters.settings["Walk"] == "0.5"


def test_mistakes(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    webp, mp4 = (["--output", tmp_path / name] for name in ("x.webp", "x.mp4"))
    way = ["--to-seed", 3]
    for arguments, message in [
        (["--walk", 0.3], "--to-prompt or --to-seed is missing: --walk says nothing without it"),
        ([*way, "--walk", 3], "--walk must be from 0 to 1, not 3"),
        ([*way, "--to-seed", "x"], "--to-seed must be a whole number"),
        (["--to-prompt", " "], "the --to-prompt is empty"),
        (["--frames", 9, *webp], "--to-prompt or --to-seed is missing: --frames lead there"),
        ([*way, "--frames", 1, *webp], "--frames must be a whole number from 2 to 3,600, not 1"),
        ([*way, "--frames", 9, "--fps", 0, *webp], "--fps must be a whole number from 1 to 60"),
        ([*way, "--frames", 9, "--walk", 0.3, *webp], "--walk is about pictures: leave one out"),
        ([*way, "--frames", 9, "--count", 2, *webp], "--count is about pictures: leave one out"),
        ([*way, "--frames", 9, "--output", tmp_path / "x.png"], "must end in .webp or .mp4"),
        (["--fps", 9, *webp], "--frames is missing: --fps says nothing without it"),
        (["--loop", *webp], "--frames is missing: --loop says nothing without it"),
        ([*way, *mp4], "x.mp4 is a film: add --frames, so many pictures"),
        ([*way, "--frames", 9, "--output", tmp_path / "none" / "x.webp"], "there is no folder"),
    ]:
        status, out, err = run("tree", *arguments)
        assert (status, out) == (2, ""), arguments
        assert message in err.splitlines()[-1] and "Traceback" not in err, err
    monkeypatch.setattr(film, "has_mp4", lambda: False)
    status, _, err = run("tree", *way, "--frames", 9, *mp4)
    assert status == 2 and "pip install av" in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
