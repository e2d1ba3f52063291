"""The command line, as a person uses it and misuses it."""

import io
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from programs import run as program
from tiny import build_control, drawing, load

from sdxs import SDXS
from sdxs.__main__ import main
from sdxs.metadata.reading import read

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(ran: Run) -> Run:
    return partial(ran, main)


def test_a_picture(tiny_checkpoint: Path, tiny_model: SDXS, tmp_path: Path, run: Run) -> None:
    options = ["--device", "cpu", "--dtype", "float32", "--checkpoint", tiny_checkpoint]
    file = tmp_path / "red.png"
    status, out, err = run("a red house", "--seed", 7, "--output", file, *options)
    assert (status, out) == (0, f"{file}  64 x 64  seed 7\n")
    assert str(tiny_checkpoint) in err and "float32" in err
    picture = Image.open(file)
    picture.load()
    said = read(file, "it").parameters
    assert said.prompt == "a red house" and said.settings["Seed"] == "7"
    assert said.settings["Model"] == tiny_checkpoint.name  # not where it lies
    assert picture.tobytes() == tiny_model("a red house", seed=7).tobytes()

    many = ["--count", 2, "--size", "96x64", "--decoder", "large", "--output", tmp_path / "b.jpg"]
    status, out, err = run("word " * 40, *many, *options)
    assert status == 0 and "warning: the prompt is longer" in err
    assert sorted(path.name for path in tmp_path.glob("b*")) == ["b-0.jpg", "b-1.jpg"]
    assert Image.open(tmp_path / "b-1.jpg").size == (96, 64)


def test_a_control(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    control = build_control(tmp_path / "sketch")
    unnamed = build_control(tmp_path / "control")
    model = load(tiny_checkpoint, controls={"sketch": control})
    ink = ImageOps.invert(drawing(1, (300, 200)))
    file, used = tmp_path / "drawing.png", tmp_path / "used.png"
    ink.save(file)
    options = ["--device", "cpu", "--dtype", "float32", "--checkpoint", tiny_checkpoint]
    options += ["--control", control, "--control-image", file, "--output", tmp_path / "tree.png"]

    def painted(*more: object) -> Image.Image:
        assert run("tree", *options, *more)[0] == 0
        with Image.open(tmp_path / "tree.png") as picture:
            return picture.convert("RGB")

    made = model.condition("sketch", ink)
    wanted = model("tree", control="sketch", control_image=made)
    assert painted("--save-control", used, "--polarity", "ink").tobytes() == wanted.tobytes()
    with Image.open(used) as kept:
        assert kept.tobytes() == made.tobytes()
    edges = model.condition("canny", ink, low=10)
    wanted = model("tree", control="sketch", control_image=edges)
    again = painted("--condition", "canny", "--canny-low", 10)
    assert again.tobytes() == wanted.tobytes()
    wanted = model("tree", control="sketch", control_image=ink)
    assert painted("--condition", "ready").tobytes() == wanted.tobytes()

    Image.new("RGB", (99, 99), "white").save(file)
    for more, message in [
        ([], "no lines to follow"),
        (["--control", unnamed], "does not say what it follows, so add --condition: sketch"),
        (["--canny-low", 5], "--canny-low says nothing to --condition sketch"),
        (["--condition", "ready", "--save-control", used], "nothing is made of it"),
        (["--save-control", tmp_path / "used.txt"], "--save-control"),
        (["--save-control", tmp_path / "tree.png"], "name the same file"),
        (["--control-image", tmp_path / "none.png"], "there is no file"),
    ]:
        status, _, err = run("tree", *options, *more)
        assert status == 2 and message in err.splitlines()[-1], more
    for option, value, missing in [
        ("--condition", "canny", "--control"),
        ("--control-image", file, "--control"),
        ("--control", "sketch", "--control sketch: --control-image FILE"),
        ("--control-scale", 0.5, "--control-image"),
        ("--style-scale", 0.5, "--style"),
    ]:
        status, _, err = run("tree", option, value, "--output", tmp_path / "x.png")
        assert status == 2 and f"{missing} is missing" in err


def test_what_one_step_has_not_is_answered_with_the_reason(run: Run) -> None:
    for options in ["--steps", "4"], ["--guidance-scale=3"], ["--negative-prompt", "x"]:
        status, _, err = run("a tree", *options)
        assert status == 2 and "this is a one-step model" in err and err.count("\n") == 1


def test_mistakes(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "folder.png").mkdir()
    tiny = ["--checkpoint", tiny_checkpoint, "--output", tmp_path / "x.png"]
    for arguments, message in [
        (["tree", "--output", tmp_path / "x.gif"], "must end in"),
        (["tree", "--output", tmp_path / "none" / "x.png"], "there is no folder"),
        (["tree", "--output", tmp_path / "folder.png"], "is a folder"),
        (["tree", "--count", 0], "--count must be"),
        (["tree", "--checkpoint", "nonsense"], "no checkpoint is called 'nonsense'"),
        (["tree", "--checkpoint", "./nonsense"], "no file or folder ./nonsense"),
        (["tree", "--device", "abacus", *tiny], "no device"),
        (["tree", "--dtype", "int3", *tiny], "no dtype"),
        (["tree", "--seed", -1, *tiny], "seed must be"),
        (["tree", "--seed", 2**63 - 1, "--count", 2, *tiny], "seed must be"),
        (["tree", "--size", 100, *tiny], "multiple of 32"),
        ([" ", *tiny], "prompt is empty"),
        (["tree", "--count", 300, *tiny], "from 1 to 256"),
        (["tree", *tiny, "--output", tmp_path / f"{'x' * 300}.png"], "cannot write"),
    ]:
        status, out, err = run(*arguments)
        assert (status, out) == (2, ""), arguments
        last = err.splitlines()[-1]
        assert message in last and "Traceback" not in err, arguments
    for arguments in (["tree", "--seed", "x"], ["tree", "--size", "big"], [], ["a", "b"]):
        assert run(*arguments)[0] == 2
    assert not (tmp_path / "x.png").exists()


@pytest.fixture
def painting(tiny_checkpoint: Path) -> list[object]:
    tiny = ["--checkpoint", tiny_checkpoint, "--device", "cpu", "--dtype", "float32"]
    return [sys.executable, "-m", "sdxs", "tree", *tiny]


def test_what_cannot_be_said_costs_no_picture(
    painting: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"ö-{seed}.png" for seed in range(2)]
    options = ["--output", tmp_path / "ö.png", "--count", 2]
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", said := io.TextIOWrapper(io.BytesIO(), "ascii"))
        assert main([str(word) for word in [*painting[3:], *options]]) == 0
    assert b"\\xf6-1.png  64 x 64  seed 1" in said.buffer.getvalue()
    for file in files:
        file.unlink()
    line = f"{shlex.join(map(str, [*painting, *options]))} | true"
    done = program("bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    assert all(file.exists() for file in files)


def test_a_file_at_home(
    tiny_checkpoint: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    status, out, err = run("tree", "--checkpoint", tiny_checkpoint, "--output=~/x.png")
    assert status == 0 and out.startswith(str(tmp_path / "x.png")), err
    status, _, err = run("tree", "--control", "sketch", "--control-image=~/none.png")
    assert status == 2 and f"there is no file {tmp_path / 'none.png'}" in err


def test_a_place_that_may_not_be_written(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    status, _, err = run("tree", "--output", tmp_path / "x.png")
    assert status == 2 and "no permission" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("called", "name"), [("/bin/sdxs", "sdxs"), ("/sdxs/__main__.py", "python -m sdxs")]
)
def test_help_and_its_examples_say_how_it_was_called(
    called: str, name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [called])
    status, out, _ = run("--help")
    assert status == 0 and "--seed" in out and "examples:" in out
    assert out.startswith(f"usage: {name} [-h]") and f'  {name} "a red house' in out
