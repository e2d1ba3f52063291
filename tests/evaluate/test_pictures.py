"""Pictures are made once, whatever stops a command, and never mixed with other settings'."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from sdxs.errors import InputError
from sdxs.evaluate.painters import Painter
from sdxs.evaluate.pictures import Task, paint

SETTINGS = {"name": "toy", "seed": 0}
TASKS = [Task(Path(f"some/{i}.png"), f"prompt {i}", 10 + i) for i in range(5)]


class Brush:
    """Paints flat pictures by seed, notes what it was asked, and stops when it is told to."""

    def __init__(self, most: int = 99) -> None:
        self.asked: list[tuple[str, int]] = []
        self.most = most

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        if len(self.asked) >= self.most:
            raise KeyboardInterrupt
        self.asked += zip(prompts, seeds, strict=True)
        return [Image.new("RGB", (8, 8), (seed, 0, 0)) for seed in seeds]

    def painter(self) -> Painter:
        return Painter({"steps": 1}, self)


def seeds_of(folder: Path) -> list[int]:
    return [Image.open(folder / task.file).getpixel((0, 0))[0] for task in TASKS]


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    brush = Brush(2)
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path, TASKS, SETTINGS, brush.painter, batch=2)
    assert len(brush.asked) == 2
    rest = Brush()
    made = paint(tmp_path, TASKS, SETTINGS, rest.painter, batch=2)
    assert rest.asked == [(task.prompt, task.seed) for task in TASKS[2:]]
    assert seeds_of(tmp_path) == [task.seed for task in TASKS]
    assert made["steps"] == 1 and made["pictures"] == 5 and made["seconds"] > 0

    def never() -> Painter:
        raise AssertionError("a model was loaded for nothing")

    assert paint(tmp_path, TASKS, SETTINGS, never) == made
    (tmp_path / TASKS[3].file).unlink()
    one = Brush()
    paint(tmp_path, TASKS, SETTINGS, one.painter)
    assert one.asked == [("prompt 3", 13)]
    assert not (tmp_path / "unfinished.png").exists()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    paint(tmp_path, TASKS, SETTINGS, Brush().painter)
    with (tmp_path / "seconds.jsonl").open("a") as log:
        log.write('{"pictures": 1, "sec')
    assert paint(tmp_path, TASKS, SETTINGS, Brush().painter)["seconds"] > 0


def test_other_settings_and_other_prompts_are_refused(tmp_path: Path) -> None:
    paint(tmp_path, TASKS, SETTINGS, Brush().painter)
    with pytest.raises(InputError, match="other settings: seed 0, not 1; give another --out"):
        paint(tmp_path, TASKS, SETTINGS | {"seed": 1}, Brush().painter)
    with pytest.raises(InputError, match="pictures of other prompts; give another --out"):
        paint(tmp_path, TASKS[:-1], SETTINGS, Brush().painter)
    (tmp_path / "pictures.json").write_text("{")
    with pytest.raises(InputError, match=r"pictures.json cannot be read"):
        paint(tmp_path, TASKS, SETTINGS, Brush().painter)
