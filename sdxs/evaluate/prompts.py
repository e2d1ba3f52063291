"""Prompts from a file: a line each, or a field of JSON lines or of a table.

In the file's order, some thousands that are held in memory: training's, millions in an order by
chance, are tables on the disk (`sdxs.train.parts.prompts`). Knows nothing of what is painted from
them.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sdxs.errors import InputError, did_you_mean

USUAL = ("prompt", "caption", "text")  # fields that are looked for


def read_prompts(file: Path, field: str | None = None, count: int | None = None) -> list[str]:
    """The first `count` prompts, all by default; blank ones are left out. field: of .jsonl, .csv
    and .tsv files, by default the only one of `USUAL` that is there. Raises InputError."""
    found = []
    for prompt in _prompts(file, field):
        if prompt := prompt.strip():
            found.append(prompt)
        if len(found) == count:
            break
    if not found:
        raise InputError(f"{file} holds no prompt: give one with a line for each")
    return found


def _prompts(file: Path, field: str | None) -> Iterator[str]:
    kind = file.suffix.lower()
    if kind == ".jsonl":
        yield from _fields(file, read_lines(file), field)
    elif kind in (".csv", ".tsv"):
        table = csv.DictReader(read_text(file), delimiter="," if kind == ".csv" else "\t")
        yield from _fields(file, table, field)
    elif kind == ".txt":
        yield from read_text(file)
    else:
        raise InputError(f"{file}: prompts are read from .txt, .jsonl, .csv and .tsv files")


def _fields(file: Path, rows: Iterable[dict[str, Any]], field: str | None) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        if field is None:
            usual = [name for name in USUAL if name in row]
            if len(usual) != 1:
                raise InputError(
                    f"{file} has the fields {', '.join(map(str, row))}: say by --field which one "
                    "holds the prompts"
                )
            field = usual[0]
        value = row.get(field)
        if not isinstance(value, str):
            near = did_you_mean(field, [name for name in row if isinstance(name, str)])
            raise InputError(
                f"{file}, row {number} has no text in a field {field!r}: {near}it has "
                f"{', '.join(map(str, row))}"
            )
        yield value


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines. Raises InputError."""
    for number, line in enumerate(read_text(file), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{file}, line {number} is no JSON object")
        yield row


def read_text(file: Path) -> Iterator[str]:
    """The lines of a file. Raises InputError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from lines
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8: convert it, for example by iconv") from None
