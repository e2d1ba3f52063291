"""Where an export goes, or a site: beside its place until it is whole, then into it.

What lies there and is another one's stays. Knows nothing of what is written.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sdxs.errors import InputError


@contextmanager
def whole_or_none(target: Path, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """A place to write to, which becomes the target where the block ends well. What is written
    beside it goes beside the target.

    is_own: whether what there is may be replaced. Raises InputError where it may not, OSError.
    """
    _check(target, is_own)
    target = target.resolve()  # "." has no name, a link stays one
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        part = Path(beside) / target.name
        yield part
        others = [each for each in Path(beside).iterdir() if each != part]
        there = [each for each in others if _is_there(target.parent / each.name)]
        for each in there:
            if _content(each) != _content(target.parent / each.name):
                raise InputError(
                    f"{target.parent / each.name} is there and is another one's: choose an --out "
                    "in a folder of its own"
                )
        _check(target, is_own)  # what came meanwhile is another one's, too
        for each in others:
            if each not in there:
                each.rename(target.parent / each.name)
        if target.exists():
            target.rename(Path(beside) / "earlier")
        part.rename(target)


def _check(target: Path, is_own: Callable[[Path], bool]) -> None:
    if _is_there(target) and not is_own(target):
        raise InputError(f"{target} is there and is another one's: choose another --out")


def _content(folder: Path) -> dict[str, bytes]:
    """Of the files of a small folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _is_there(target: Path) -> bool:
    """An empty folder is as good as none."""
    return os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir()))
