"""`--like`: a picture's file says what to paint; what is given beside it counts more."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from test_metadata import foreign
from tiny import build_control, drawing

from sdxs.__main__ import main
from sdxs.metadata.reading import read
from sdxs.metadata.xmp import AI_MADE

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(ran: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, where the tiny checkpoint is one that ships."""
    weights = tiny_checkpoint.parent
    monkeypatch.setenv("SDXS_WEIGHTS", str(weights))
    return partial(ran, main, "--device", "cpu", "--dtype", "float32")


def pixels(file: Path) -> bytes:
    with Image.open(file) as picture:
        return picture.convert("RGB").tobytes()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_the_same_again(ending: str, tmp_path: Path, run: Run) -> None:
    first, again = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    made = ["--checkpoint", "tiny", "--seed", 7, "--size", "96x64", "--decoder", "large"]
    assert run("a house,\n🦊", *made, "--output", first)[0] == 0
    status, out, err = run("--like", first, "--output", again)
    assert (status, out) == (0, f"{again}  96 x 64  seed 7\n"), err
    assert again.read_bytes() == first.read_bytes() and "left out" not in err

    other = tmp_path / "c.png"
    assert run("a tree", "--like", first, "--seed", 8, "--output", other)[0] == 0
    said = read(other, "it").parameters
    assert (said.prompt, said.settings["Seed"], said.settings["Decoder"]) == (
        "a tree",
        "8",
        "large",
    )


def test_with_what_it_follows(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    control = build_control(tmp_path / "weights" / "controls" / "sketch")
    ink, photo = tmp_path / "ink.png", tmp_path / "ink.jpg"
    ImageOps.invert(drawing(1, (300, 200))).save(ink)
    Image.open(ink).save(photo)
    first, again = tmp_path / "a.webp", tmp_path / "b.webp"
    controlled = ["--control", control, "--checkpoint", "tiny", "--output", first]
    edges = ["--condition", "canny", "--canny-low", 10, "--control-scale", 0.5]
    assert run("tree", *controlled, *edges, "--control-image", ink)[0] == 0
    status, _, err = run("--like", first, "--control", control, "--output", again)
    assert status == 0 and again.read_bytes() == first.read_bytes(), err
    said = read(again, "it").parameters.settings
    assert said["Condition"] == "canny" and said["Canny low"] == "10"

    assert run("tree", *controlled, "--control-image", photo)[0] == 0
    status, _, err = run("--like", first, "--output", again)
    assert status == 0 and f"sdxs: {first}: what it followed is not in the file\n" in err
    assert "Control" not in read(again, "it").parameters.settings
    more = ["--control", control, "--control-image", photo]
    assert run("--like", first, *more, "--output", again)[0] == 0
    assert pixels(again) == pixels(first)


def test_another_programs_picture(tmp_path: Path, run: Run) -> None:
    file, out = tmp_path / "foreign.webp", tmp_path / "b.png"
    text = "a fox\nNegative prompt: b\nSteps: 20, CFG scale: 7, Seed: 3, Size: 64x96, Model: other"
    file.write_bytes(foreign(text, "webp"))
    status, said, err = run("--like", file, "--checkpoint", "tiny", "--output", out)
    assert (status, said) == (0, f"{out}  64 x 96  seed 3\n"), err
    assert (
        f"sdxs: {file}: made with other, here tiny; Negative prompt, Steps 20, CFG scale 7 left "
        "out: one step has none\n" in err
    )


def test_without_parameters(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "a.jpg"
    made = ["tree", "--checkpoint", "tiny", "--no-parameters", "--output", file]
    assert run(*made)[0] == 0
    assert read(file, "it") is None and AI_MADE.encode() in file.read_bytes()


def test_mistakes(tmp_path: Path, run: Run) -> None:
    plain, path, text = tmp_path / "plain.png", tmp_path / "path.png", tmp_path / "a.txt"
    Image.new("RGB", (9, 9)).save(plain)
    path.write_bytes(foreign("a\nModel: ../../etc, Version: sdxs 0", "png"))
    text.write_text("a")
    for arguments, message in [
        ([], "the prompt is missing: say in quotes what to paint, or use --like FILE"),
        (["--like", plain], f"--like {plain}: it says nothing of how it was made"),
        (["--like", path], f"--like {path}: its model is a path; name your own"),
        (["--like", text], "is not a PNG, JPEG or WebP picture"),
        (["--like", tmp_path / "none.png"], "there is no file"),
        (["--like", tmp_path], "cannot be read"),
        (["tree", "--certificate", text], "--private-key (or SDXS_PRIVATE_KEY) is missing"),
        (["tree", "--private-key", text], "--certificate (or SDXS_CERTIFICATE) is missing"),
        (["tree", "--certificate", text, "--private-key", text], "is no PEM file"),
    ]:
        status, out, err = run(*arguments, "--output", tmp_path / "x.png")
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, arguments
