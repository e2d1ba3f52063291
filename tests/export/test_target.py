"""Where an export goes: into its place when it is whole, never over what is another one's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdxs.errors import InputError
from sdxs.export.target import whole_or_none

MARK = "sdxs.json"


@contextmanager
def written(target: Path) -> Iterator[Path]:
    with whole_or_none(target, lambda place: (place / MARK).exists()) as place:
        place.mkdir()
        (place / MARK).write_text("new")
        yield place


def test_what_comes_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(InputError, match="is there and is another one's"), written(target):
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*")] == [
        "out",
        "out/notes.txt",
    ]


def test_what_cannot_go_beside_it_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename = tmp_path / "out", Path.rename
    with written(target):
        pass
    (target / MARK).write_text("old")

    def failing(self: Path, to: Path) -> Path:
        if self.name == "tokenizer":
            raise OSError("no room")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no room"), written(target) as place:
        (place.parent / "tokenizer").mkdir()
    assert (target / MARK).read_text() == "old"


def test_here_and_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with written(Path(".")):
        pass
    link = tmp_path / "link"
    os.symlink("here", link)
    with written(link):
        pass
    assert link.is_symlink() and (tmp_path / "here" / MARK).read_text() == "new"
    assert {each.name for each in tmp_path.iterdir()} == {"here", "link"}
