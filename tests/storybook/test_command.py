"""What a command cannot do it says in one line, or as argparse does, and ends with status 2."""

import argparse

import pytest

from sdxs import sources
from sdxs.storybook import command, controlled, pixels, sheet, styled


@pytest.mark.parametrize(
    ("main", "options", "said"),
    [
        (controlled.main, ["--control", "canny", "--count", "1"], "at least 2"),
        (controlled.main, ["--control", "canny", "--folder", "nowhere"], "nowhere"),
        (pixels.main, ["--checkpoint", "./none", "--count", "1"], "./none"),
        (sheet.main, ["--styles", "anime"], "--output : give a .webp or .png"),
        (sheet.main, ["--output", "nowhere/x.png"], "--output nowhere/x.png: give a .webp or .png"),
        (sheet.main, ["--controls", "shape", "--output", "x.png"], "sketch, canny, depth, not sh"),
        (styled.main, ["--style", "./mine"], "which artist is ./mine"),
        (styled.main, ["--style", "anime", "--count", "0"], "from 1 to 1000"),
        (styled.main, ["--style", "anime"], "there is no style 'anime'"),
    ],
)
def test_a_mistake_is_named(main, options, said, ran, monkeypatch, tiny_checkpoint, tmp_path):
    if main is styled.main:
        monkeypatch.setattr(sources, "OWN_WEIGHTS", tmp_path)  # where no style lies
        options = [*options, "--checkpoint", str(tiny_checkpoint)]
    status, _, told = ran(main, *options)
    assert status == 2 and said in told
    assert told.count("\n") <= 1 or told.startswith("usage: ")  # argparse shows how it is used


def test_whole_numbers() -> None:
    assert command.whole(1)("1007") == 1007 and command.whole(1, 9)("9") == 9
    for text, most in (("0", None), ("-1", None), ("1.5", None), ("x", None), ("10", 9)):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number from 1"):
            command.whole(1, most)(text)
