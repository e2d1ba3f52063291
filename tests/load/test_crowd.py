"""The crowd's commands in their short forms, on one stand-in, and what they call wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxs.picture import encode
from tests.load import figures
from tests.load.figures import Heard
from tests.load.pages import Page, Teller, served
from tests.programs import ROOT

COMMANDS = {
    "typing": ("crowd", "typing", "--visitors", 6, "--bursts", 6),
    "gradio": ("crowd", "gradio", "--users", 12, "--bursts", 4),
    "exact": ("exact", "--page", "standin", "--visitors", 8, "--requests", 8, "--solo", 40),
}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What each command says in its last line."""
    pipe = subprocess.PIPE
    with served("standin") as page:
        programs = {
            name: subprocess.Popen(
                [sys.executable, "-m", f"tests.load.{module}", *map(str, words), "--at", page.url],
                cwd=ROOT, stdout=pipe, text=True,
            )
            for name, (module, *words) in COMMANDS.items()
        }  # fmt: skip
        said = {name: program.communicate(timeout=300)[0] for name, program in programs.items()}
    return {name: json.loads(text.splitlines()[-1]) for name, text in said.items()}


def test_every_burst_of_keys_ends_in_its_picture(told: dict[str, Any]) -> None:
    (row,) = told["typing"]["rows"]
    assert row["bursts"] == 6 and not told["typing"]["missed"]
    assert row["last key to picture, ms"][0] > 0


def test_nothing_is_lost_in_gradios_shape(told: dict[str, Any]) -> None:
    for row in told["gradio"]["rows"]:  # how long it took is for another day
        assert row["asked"] == 48 and row["lost"] == row["errors"] == 0
    assert len(told["gradio"]["rows"]) == 2


def test_pictures_of_a_crowd_are_those_made_alone(told: dict[str, Any]) -> None:
    (row,) = told["exact"]["rows"]
    assert row["pictures"] == 64 and row["compared"] == row["the same"] == 40
    assert not told["exact"]["missed"]


def test_what_misses_a_target() -> None:
    heard = Heard()
    for ms in (100, 100, 100, 300):
        heard("picture", ms, None)
    heard("last key", 100, None)
    heard("picture", 1, ValueError("another's\npicture"))
    typed = figures.typed(heard, visitors=2, rate=1.0, bursts=2, memory=0)
    assert figures.missed(typed) == ["1 lost", "1 errors"]
    assert heard.wrong == {"picture: another's picture": 1}
    crowded = figures.crowded(heard, users=0, rate=1.0, asked=4, memory=0)
    assert figures.missed(crowded)[1:] == [f"p99/p50 {crowded['p99/p50']}, at most 1.5"]
    assert figures.missed({**typed, "lost": 0, "errors": 0, "more": 3}) == ["3 more"]
    assert figures.missed({"lost": 0, "errors": 0, "pictures/s": 0.0}) == ["no picture"]


def test_levels_between_two_pictures(tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    picture = Image.new("RGB", (8, 8), (0, 128, 255))
    picture.save(one)
    picture.putpixel((3, 5), (2, 127, 255))
    picture.save(other)
    assert (figures.levels(one, one), figures.levels(one, other)) == (0, 2)


def test_anothers_picture_is_not_the_right_one() -> None:
    mine = encode(Teller.draw("a red house", 7))
    page = Page("standin", "")
    assert page.is_right(mine, "a red house", 7)
    assert not page.is_right(mine, "a red house", 8)
    assert not page.is_right(mine, "a blue house", 7)
