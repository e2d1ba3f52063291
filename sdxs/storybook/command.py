"""What the commands of the storybook have in common: how they are asked, and how they end."""

import argparse
import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from sdxs.errors import SDXSError
from sdxs.pipeline import SDXS


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """Of a command that looks at a checkpoint; the docstring's first line says what it does."""
    made = argparse.ArgumentParser(
        prog=f"python -m sdxs.storybook.{name}", description=doc.splitlines()[0]
    )
    made.add_argument("--checkpoint", default="storybook", help="a name under weights/ or a folder")
    return made


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number in a range, both ends included."""
    bounds = f"from {least} " + ("on" if most is None else f"to {most}")

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")
        return int(text)

    return number


CAPTIONS: dict[str, Any] = {  # how many of a frozen file
    "type": whole(1, 1000), "default": 1000, "metavar": "N",
    "help": "captions of each file, 1 to 1000 (default: %(default)s)",
}  # fmt: skip


def told(main: Callable[[list[str] | None], None]) -> Callable[..., int]:
    """The `main` of a command whose mistakes are one line and status 2."""

    @functools.wraps(main)
    def status(arguments: list[str] | None = None) -> int:
        try:
            main(arguments)
        except (SDXSError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        return 0

    return status


def load(checkpoint: str, **parts: Any) -> SDXS:
    """A model by the eager engine, the reference: what is measured must not change while it is."""
    return SDXS.load(checkpoint, engine="eager", **parts)


def line(model: SDXS, **found: Any) -> None:
    """The last line of a command that measures: all of it as JSON."""
    print(json.dumps({"checkpoint": model.checkpoint, "dtype": str(model.dtype), **found}))
