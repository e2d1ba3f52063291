"""The command line: `python -m sdxs "a red house" --seed 7 --output red.png`.

Reads options, writes files, says what went wrong in one line. Knows nothing of how a picture comes
about. Exit status 2 for a user's mistake.
"""

import argparse
import os
import re
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from sdxs.arguments import LARGEST_BATCH
from sdxs.conditions import CONDITIONS
from sdxs.errors import InputError, SDXSError
from sdxs.picture import SUFFIXES, encode, read_picture

OPTIONS = {option.flag: option for row in CONDITIONS.values() for option in row.options}
READY = "ready"  # no condition: the picture is a control picture already
EXAMPLES = """examples:
  python -m sdxs "a red house to the left of a green tree at sunset" --seed 7 --output red.png
  python -m sdxs "a purple star at night" --count 4 --output star.jpg     star-0.jpg to star-3.jpg
  python -m sdxs "a lighthouse in a storm" --checkpoint IDKiro/sdxs-512-dreamshaper
  python -m sdxs "a cat" --checkpoint IDKiro/sdxs-512-dreamshaper --style anime \\
                 --control sketch --control-image drawing.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Paint what the arguments say and give the exit status."""
    options = parser().parse_args(arguments)
    try:
        files = output_files(options.output, options.seed, options.count)
        paint(options, files, *condition(options, files))
    except SDXSError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def paint(options: argparse.Namespace, files: list[Path], kind: str, how: dict[str, Any]) -> None:
    """Load the model, make the pictures, write the files.

    kind, how: the condition that makes the control picture, and its options.
    """
    if options.style_scale != 1 and not options.style:
        raise InputError("--style is missing: name the style that --style-scale is about")
    from sdxs.pipeline import SDXS  # seconds of torch: only once the rest is known to be right

    drawing = read_picture(options.control_image) if options.control_image else None
    seeds = list(range(options.seed, options.seed + options.count))
    model = SDXS.load(
        options.checkpoint,
        styles=options.style,
        controls=options.control,
        safety=False if options.no_safety else "auto",
        device=options.device,
        dtype=options.dtype,
    )
    tell(f"{model.checkpoint} on {model.device}, {str(model.dtype).removeprefix('torch.')}")
    if options.checkpoint == "auto":
        tell(f"chosen because {model.source.reason}")
        if model.source.hint:
            tell(f"for the real model: --checkpoint {model.source.hint.split('=')[-1]}")
    if drawing:
        tell(f"control picture: {CONDITIONS[kind].title if kind != READY else 'as it is'}")
    if drawing and kind != READY:
        drawing = model.condition(kind, drawing, size=options.size, **how)
        if options.save_control:
            write(options.save_control, drawing)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pictures = model(
            [options.prompt] * options.count,
            seed=seeds,
            size=options.size,
            decoder=options.decoder,
            style=options.style,
            style_scale=options.style_scale,
            control=options.control,
            control_image=drawing,
            control_scale=options.control_scale,
        )
    took = time.perf_counter() - start
    for warning in caught:
        tell(f"warning: {warning.message}")
    facts = {"prompt": options.prompt, "checkpoint": model.checkpoint, "software": "sdxs"}
    if options.style:
        facts |= {"style": options.style, "style_scale": options.style_scale}
    for file, seed, picture in zip(files, seeds, pictures, strict=True):
        write(file, picture, {**facts, "seed": seed})
        print(f"{file}  {picture.width} x {picture.height}  seed {seed}")
    tell(f"{took:.2f} s")


def condition(options: argparse.Namespace, files: list[Path]) -> tuple[str, dict[str, Any]]:
    """How the control picture is made, and with which options. Raises InputError.

    files: that will be written.
    """
    name = Path(str(options.control or "").partition("@")[0]).name
    own = re.split(r"[^a-z]", name.lower())[-1]  # sdxs-512-sketch
    kind = options.condition or (own if own in CONDITIONS else READY)
    given = {
        flag: value
        for flag in OPTIONS
        if (value := getattr(options, flag.replace("-", "_"))) is not None
    }
    asked = given or options.condition or options.save_control or options.control_scale != 1
    if asked and not options.control:
        raise InputError("--control is missing: name the control that is to follow the picture")
    if options.control_image and not options.condition and own not in CONDITIONS:
        raise InputError(
            f"--control {options.control}: the name does not say what it follows, so add "
            f"--condition: {', '.join(CONDITIONS)}, or {READY} for a control picture as it is"
        )
    if options.save_control:
        if kind == READY:
            raise InputError("--save-control: the picture is taken as it is, nothing is made of it")
        check_writable("--save-control", options.save_control)
        if options.save_control.absolute() in [file.absolute() for file in files]:
            raise InputError("--save-control and --output name the same file: choose another")
    known = CONDITIONS[kind].options if kind != READY else ()
    for flag in given:
        if OPTIONS[flag] not in known:
            raise InputError(f"--{flag} says nothing to --condition {kind}")
    return kind, {OPTIONS[flag].name: value for flag, value in given.items()}


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs",
        description="Paint a picture from a prompt, in one step.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("prompt", help="what to paint, in quotes")
    add("--seed", type=int, default=0, metavar="N", help="0 to 2**63 - 1 (default: %(default)s)")
    add("--output", type=Path, default=Path("picture.png"), metavar="FILE",
        help=f"{', '.join(SUFFIXES)} (default: %(default)s)")  # fmt: skip
    add("--count", type=int, default=1, metavar="N",
        help="so many pictures, with this seed and the next ones")  # fmt: skip
    add("--checkpoint", default="auto", metavar="NAME",
        help="a name under weights/ (storybook), a folder, or a Hugging Face id; default: "
        "SDXS_CHECKPOINT, else the best one already on this machine")  # fmt: skip
    add("--size", type=pixels, metavar="SIDE or WxH", help="in pixels (default: the checkpoint's)")
    add("--decoder", choices=("tiny", "large"), default="tiny", help="default: %(default)s")
    add("--style", metavar="NAME",
        help="a LoRA: a name known for the checkpoint, a file, a folder, "
        "or a Hugging Face id")  # fmt: skip
    add("--style-scale", type=float, default=1.0, metavar="X", help="0 to 2 (default: %(default)s)")
    add("--control", metavar="NAME",
        help="a ControlNet: a name known for the checkpoint, a folder, "
        "or a Hugging Face id")  # fmt: skip
    add("--control-image", type=Path, metavar="FILE",
        help="a drawing or a photo to follow: PNG, JPEG or WebP")  # fmt: skip
    add("--condition", choices=(*CONDITIONS, READY),
        help=f"how the control picture is made of it; {READY}: it is one, take it as it is "
        "(default: as the control's name says)")  # fmt: skip
    for flag, option in OPTIONS.items():
        kind = {"choices": option.choices} if option.choices else {"type": float, "metavar": "X"}
        add(f"--{flag}", help=option.help, **kind)
    add("--save-control", type=Path, metavar="FILE", help="where to write the control picture")
    add("--control-scale", type=float, default=1.0, metavar="X",
        help="0 to 2 (default: %(default)s)")  # fmt: skip
    add("--no-safety", action="store_true", help="keep pictures as they come, unchecked")
    add("--device", default="auto", help="cuda, mps or cpu (default: the best there is)")
    add("--dtype", default="auto", help="float32, float16 or bfloat16 (default: the device's best)")
    return options


def pixels(text: str) -> Any:
    """512 or 512x768."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: use 512 or 512x768")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def output_files(output: Path, seed: int, count: int) -> list[Path]:
    """The files to write, of which it is known that they can be. Raises InputError."""
    if not 1 <= count <= LARGEST_BATCH:
        raise InputError(f"--count must be from 1 to {LARGEST_BATCH}, not {count}")
    files = [output]
    if count > 1:
        files = [output.with_stem(f"{output.stem}-{seed + i}") for i in range(count)]
    for file in files:
        check_writable("--output", file)
    return files


def check_writable(option: str, file: Path) -> None:
    """Raise InputError for a file that no picture can be written to."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{option} {file}: the name must end in {', '.join(SUFFIXES)}")
    if not os.path.isdir(file.parent):
        raise InputError(f"{option} {file}: there is no folder {file.parent}, make it first")
    if os.path.isdir(file):
        raise InputError(f"{option} {file} is a folder: give a file in it")
    if not os.access(file if os.path.exists(file) else file.parent, os.W_OK):
        raise InputError(f"{option} {file}: no permission to write there")


def write(file: Path, picture: Image, info: dict[str, Any] | None = None) -> None:
    """Write a picture in the format that the file's name asks for. Raises InputError."""
    data = encode(picture, SUFFIXES[file.suffix.lower()], info=info)
    try:
        file.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None


def tell(line: str) -> None:
    print(f"sdxs: {line}", file=sys.stderr, flush=True)


def fail(message: str) -> int:
    tell(" ".join(message.split()))
    return 2


if __name__ == "__main__":
    sys.exit(main())
