"""A checkpoint for other programs: as graphs of ONNX or OpenVINO, or as a single file.

`python -m sdxs.export CHECKPOINT --to onnx --out FOLDER`. What was written is read back and
compared with the eager engine in float32 before it takes its place.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from sdxs.checkpoint.open import open_checkpoint
from sdxs.checkpoint.variants import WHOLE
from sdxs.errors import InputError, SDXSError, commanded, one_line
from sdxs.export import folder, index, single_file
from sdxs.export.compared import LEAST
from sdxs.export.graphs import CPU
from sdxs.export.target import whole_or_none
from sdxs.model.hardware import limit_threads
from sdxs.outputs import path
from sdxs.temporary import ended_by_signals

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in LEAST}
SINGLE_FILE = "single-file"
NAME = re.compile(r"\w[\w.-]*")


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    limit_threads()
    logging.set_verbosity_error()  # of a loss that OpenVINO's tracer has it look for
    try:
        with commanded(), ended_by_signals():
            run(asked)
    except (SDXSError, OSError, SafetensorError) as error:  # the last one of a disk that is full
        print(f"sdxs: {one_line(error, 600)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run(asked: argparse.Namespace) -> None:
    """Raises SDXSError, OSError, SafetensorError."""
    alone = asked.to == SINGLE_FILE
    if alone and (asked.styles or asked.controls):
        raise InputError("styles and controls are files already: give them to a program beside it")
    if alone and asked.out.suffix != WHOLE:
        raise InputError(f"--out {asked.out}: the name must end in {WHOLE}")
    with whole_or_none(asked.out, single_file.is_own if alone else index.is_own) as place:
        opened = open_checkpoint(
            asked.checkpoint, styles=asked.styles, controls=asked.controls, safety=False,
            device=CPU, dtype=torch.float32,
        )  # fmt: skip
        if asked.out.resolve() == opened.places.folder.resolve():
            raise InputError(f"{asked.out} is the checkpoint itself: choose another --out")
        if alone:
            single_file.write(opened, DTYPES[asked.dtype], place)
        else:
            folder.write(opened, asked.to, DTYPES[asked.dtype], place)
        files = [place] if alone else place.rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
    print(f"{asked.out}: {size / 1e6:.1f} MB")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs.export", description=__doc__.splitlines()[0]
    )
    add = options.add_argument
    add("checkpoint", help="a name under weights/, a folder, a .safetensors file, a Hub id")
    add("--to", required=True, choices=[*folder.RUNTIMES, SINGLE_FILE])
    add("--out", required=True, type=path, metavar="PLACE",
        help="a folder or, with single-file, a file; an earlier export is replaced")  # fmt: skip
    add("--dtype", default="float32", choices=[*DTYPES],
        help="what is stored and computed in (default: %(default)s)")  # fmt: skip
    add("--styles", type=names, metavar="NAME,…",
        help="LoRA styles to go along: names known for the checkpoint, files, folders, Hub ids; "
        "NAME=SOURCE calls one as you like, all takes what there is")  # fmt: skip
    add("--controls", type=names, metavar="NAME,…", help="ControlNets to go along, likewise")
    return options


def names(text: str) -> dict[str, str]:
    """{name: source} of sources between commas: NAME=SOURCE, or by the last part of its path."""
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, source = part.partition("=")
        if not (source and NAME.fullmatch(name)):  # a path may hold the sign, too
            name, source = Path(part).name.removesuffix(WHOLE), part
        if not NAME.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{part!r} needs a name for files: NAME={source}")
        found[name] = source
    return found


if __name__ == "__main__":
    sys.exit(main())
