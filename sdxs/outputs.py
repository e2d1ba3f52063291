"""Files of the command line: names as people type them, whether they can be written, writing."""

import os
from collections.abc import Iterable
from pathlib import Path

from sdxs.arguments import LARGEST_BATCH
from sdxs.errors import InputError
from sdxs.picture import SUFFIXES


def output_files(
    output: Path, seed: int, count: int, suffixes: Iterable[str] = SUFFIXES
) -> list[Path]:
    """The files to write, of which it is known that they can be. Raises InputError."""
    if not 1 <= count <= LARGEST_BATCH:
        raise InputError(f"--count must be from 1 to {LARGEST_BATCH}, not {count}")
    files = [output]
    if count > 1:
        files = [output.with_stem(f"{output.stem}-{seed + i}") for i in range(count)]
    for file in files:
        check_writable("--output", file, suffixes)
    return files


def check_writable(option: str, file: Path, suffixes: Iterable[str] = SUFFIXES) -> None:
    """Raise InputError for a file that no picture can be written to."""
    if file.suffix.lower() not in suffixes:
        raise InputError(f"{option} {file}: the name must end in {', '.join(suffixes)}")
    if not os.path.isdir(file.parent):
        raise InputError(f"{option} {file}: there is no folder {file.parent}, make it first")
    if os.path.isdir(file):
        raise InputError(f"{option} {file} is a folder: give a file in it")
    if not os.access(file if os.path.exists(file) else file.parent, os.W_OK):
        raise InputError(f"{option} {file}: no permission to write there")


def write(file: Path, data: bytes) -> None:
    """Write a picture's bytes. Raises InputError."""
    try:
        file.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None


def path(text: str) -> Path:
    """A file, by a name as people type it: not every shell reads a "~"."""
    return Path(os.path.expanduser(text))
