"""The command line: `sdxs "a red house" --seed 7 --output red.png`, or `python -m sdxs`.

Reads options, writes files, says what went wrong in one line. What can be asked of a picture is the
table of options; the options here are about the way to it. Knows nothing of how a picture
comes about. Exit status 2 for a user's mistake.
"""

import argparse
import re
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdxs import filmed
from sdxs.arguments import KNOWN_ELSEWHERE
from sdxs.conditions import CONDITIONS, OF_CONDITIONS, READY
from sdxs.errors import InputError, SDXSError, commanded
from sdxs.metadata import xmp
from sdxs.metadata.marker import Label
from sdxs.metadata.parameters import title
from sdxs.outputs import check_writable, output_files, path, write
from sdxs.picture import SUFFIXES, encode, read_picture
from sdxs.server.start import CHECKPOINT_HELP, DEVICE_HELP, DTYPE_HELP, ENGINE_HELP, fail
from sdxs.service import kinds, likes, marks
from sdxs.service import options as table
from sdxs.service.drawings import read_drawing
from sdxs.temporary import ended_by_signals

EXAMPLES = """examples:
  %(prog)s "a red house to the left of a green tree at sunset" --seed 7 --output red.png
  %(prog)s "a blue boat at sunset" --count 4 --output boat.jpg      boat-0.jpg to boat-3.jpg
  %(prog)s --like boat-2.jpg --style anime --output anime.png       the same, in a style
  %(prog)s "a red house" --to-prompt "a blue boat" --frames 48 --loop --output walk.webp
  %(prog)s "a lighthouse in a storm" --checkpoint IDKiro/sdxs-512-dreamshaper
  %(prog)s "a cat" --checkpoint IDKiro/sdxs-512-dreamshaper --style anime \\
       --control sketch --control-image drawing.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Paint what the arguments say and give the exit status."""
    options = parser().parse_args(arguments)
    try:
        for name, reason in KNOWN_ELSEWHERE.items():
            if getattr(options, name) is not None:
                raise InputError(f"there is no {dashed(name)} here: {reason}")
        with commanded(), ended_by_signals():
            like = likes.read(options.like, options.checkpoint) if options.like else likes.Like()
            given = asked(options, like.request)
            likes.fill(options, like, given)
            if like.note:
                tell(f"{options.like}: {like.note}")
            filmed.check(options, given)
            suffixes = filmed.suffixes(options)
            files = output_files(options.output, given["seed"], options.count, suffixes)
            paint(options, given, files)
    except SDXSError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def asked(options: argparse.Namespace, like: dict[str, Any]) -> dict[str, Any]:
    """What is asked of the picture, {field of the table: value}; of what the options do not say,
    what the request of another picture says. Raises InputError."""
    if options.prompt is None and not like:
        raise InputError("the prompt is missing: say in quotes what to paint, or use --like FILE")
    given: dict[str, Any] = {}
    for row in table.commanded():
        value = getattr(options, row.keyword or row.field)
        told = value is not None
        if not told:
            value = like.get(row.field)
        if value is None:
            value = row.start
        elif isinstance(row.widget, kinds.Picture):
            value = read_picture(path(value)) if told else read_drawing(value)
        elif row.check:
            value = row.check(row.flag, value)
        if value is not None and not row.lacks(given):
            given[row.field] = value
        elif told:
            needed = " or ".join(one.flag for one in table.OPTIONS if one.field in row.needed)
            raise InputError(f"{needed} is missing: {row.flag} says nothing without it")
    if "drawing" not in given and options.control is None:
        given.pop("control", None)  # what that picture followed is not known
    return given


def paint(options: argparse.Namespace, given: dict[str, Any], files: list[Path]) -> None:
    """Load the model, make the pictures, write the files. Raises InputError."""
    kind, how = condition(options, given, files)
    marker = marks.marker(options)
    drawing, settings = kept_drawing(options, given), condition_settings(options, given, kind)
    from sdxs import SDXS  # seconds of torch: only once the rest is known to be right

    seeds = list(range(given["seed"], given["seed"] + options.count))
    model = SDXS.load(
        options.checkpoint,
        styles=given.get("style"),
        controls=given.get("control"),
        safety=False if options.no_safety else "auto",
        device=options.device,
        dtype=options.dtype,
        engine=options.engine,
    )
    tell(f"{model.checkpoint} on {model.device}, {str(model.dtype).removeprefix('torch.')}")
    if options.checkpoint == "auto":
        tell(f"chosen because {model.source.reason}")
        if model.source.hint:
            tell(f"for the real model: --checkpoint {model.source.hint.split('=')[-1]}")
    if "drawing" in given:
        tell(f"control image: {CONDITIONS[kind].title if kind != READY else 'as it is'}")
        if kind != READY:
            image = model.condition(kind, given["drawing"], size=given.get("size"), **how)
            given = {**given, "drawing": image}
            if options.save_control:
                form = SUFFIXES[options.save_control.suffix.lower()]
                write(options.save_control, encode(image, form))
    told = {**table.keywords(given), "seed": seeds}
    label = Label(given["prompt"], model.checkpoint, {**table.said(given), **settings}, drawing)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if options.frames:
            line, pictures = filmed.take(model, options, given, label, marker), []
        else:
            line, pictures = "", model([given["prompt"]] * options.count, **told)
    took = time.perf_counter() - start
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        tell(f"warning: {message}")
    if line:
        say(line)
    for file, seed, picture in zip(files, seeds, pictures, strict=not line):
        own = replace(label, settings={**label.settings, **table.said({"seed": seed})})
        write(file, marker(picture, SUFFIXES[file.suffix.lower()], own, keep=True))
        say(f"{file}  {picture.width} x {picture.height}  seed {seed}")
    tell(f"{took:.2f} s")


def condition(
    options: argparse.Namespace, given: dict[str, Any], files: list[Path]
) -> tuple[str, dict[str, Any]]:
    """The condition that makes the control image, or READY, and its options. Raises InputError."""
    control = given.get("control", "")
    name = Path(control.partition("@")[0]).name
    own = re.split(r"[^a-z]", name.lower())[-1]  # sdxs-512-sketch
    kind = options.condition or (own if own in CONDITIONS else READY)
    how = {
        flag: value
        for flag in OF_CONDITIONS
        if (value := getattr(options, flag.replace("-", "_"))) is not None
    }
    if (how or options.condition or options.save_control) and not control:
        raise InputError("--control is missing: name the control that is to follow the picture")
    if "drawing" in given and not control:
        raise InputError("--control is missing: name what is to follow --control-image")
    if control and "drawing" not in given:
        raise InputError(
            f"--control {control}: --control-image FILE is missing, what it is to follow"
        )
    if "drawing" in given and not options.condition and own not in CONDITIONS:
        raise InputError(
            f"--control {control}: the name does not say what it follows, so add "
            f"--condition: {', '.join(CONDITIONS)}, or {READY} for a control image as it is"
        )
    if options.save_control:
        if kind == READY:
            raise InputError("--save-control: the picture is taken as it is, nothing is made of it")
        check_writable("--save-control", options.save_control)
        if options.save_control.absolute() in [file.absolute() for file in files]:
            raise InputError("--save-control and --output name the same file: choose another")
    known = CONDITIONS[kind].options if kind != READY else ()
    for flag in how:
        if OF_CONDITIONS[flag] not in known:
            raise InputError(f"--{flag} says nothing to --condition {kind}")
    return kind, {OF_CONDITIONS[flag].name: value for flag, value in how.items()}


def kept_drawing(options: argparse.Namespace, given: dict[str, Any]) -> bytes:
    """What the picture follows, for its file to keep: a drawing, and no photo, which is a JPEG."""
    if "drawing" not in given:
        return b""
    if options.control_image and path(options.control_image).read_bytes()[:4] != b"\x89PNG":
        return b""
    return xmp.kept(given["drawing"])


def condition_settings(
    options: argparse.Namespace, given: dict[str, Any], kind: str
) -> dict[str, Any]:
    """How the control image is made, as the file says it."""
    if "drawing" not in given:
        return {}
    told = {flag: getattr(options, flag.replace("-", "_")) for flag in OF_CONDITIONS}
    return {"Condition": kind, **{title(flag): value for flag, value in told.items() if value}}


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m sdxs" if Path(sys.argv[0]).name == "__main__.py" else None,
        description="Paint a picture from a prompt, in one step.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    for row in table.commanded():
        add(row.flag, **shape(row))
    add("--like", type=path, metavar="FILE",
        help="ask for what this picture's file says; options given here count more")  # fmt: skip
    add("--condition", choices=(*CONDITIONS, READY),
        help=f"how the control image is made of it; {READY}: it is one, take it as it is "
        "(default: as the control's name says)")  # fmt: skip
    for flag, option in OF_CONDITIONS.items():
        kind = {"choices": option.choices} if option.choices else {"type": float, "metavar": "X"}
        add(f"--{flag}", help=option.help, **kind)
    add("--save-control", type=path, metavar="FILE", help="where to write the control image")
    add("--output", type=path, default=Path("picture.png"), metavar="FILE",
        help=f"{', '.join(SUFFIXES)} (default: %(default)s)")  # fmt: skip
    add("--count", type=int, default=1, metavar="N",
        help="so many pictures, with this seed and the next ones")  # fmt: skip
    filmed.add_options(options)
    for name in KNOWN_ELSEWHERE:
        add(dashed(name), nargs="?", const="", help=argparse.SUPPRESS)
    add("--checkpoint", default="auto", metavar="NAME", help=CHECKPOINT_HELP)
    add("--no-safety", action="store_true", help="keep pictures as they come, unchecked")
    add("--device", default="auto", help=DEVICE_HELP)
    add("--dtype", default="auto", help=DTYPE_HELP)
    add("--engine", default="auto", help=ENGINE_HELP)
    marks.add_options(options)
    return options


def dashed(name: str) -> str:
    """The option of an argument: "--guidance-scale"."""
    return f"--{name.replace('_', '-')}"


def shape(row: kinds.Option) -> dict[str, Any]:
    """How argparse reads an option of the table; what it means is the row's to check."""
    said = row.help if row.start is None else f"{row.help} (default: {row.start})"
    match row.widget:
        case kinds.Prompt():
            return {"help": said, "nargs": "?"}
        case kinds.Switch():
            return {"help": said, "action": "store_true", "default": None}
        case kinds.Choice(known=known) if known:
            return {"help": said, "choices": known}
    return {"help": said, "metavar": row.metavar or None}


def say(line: str) -> None:
    """On standard output, if it can be said there: the pictures that follow do not depend on it."""
    try:
        print(line, flush=True)
    except UnicodeEncodeError:
        print(line.encode("ascii", "backslashreplace").decode("ascii"), flush=True)
    except BrokenPipeError:  # nobody reads any more
        sys.stdout = None


def tell(line: str) -> None:
    print(f"sdxs: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
