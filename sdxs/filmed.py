"""A film on the command line: `sdxs "a red house" --to-prompt "a blue boat" --frames 48`.

Knows nothing of how a model is loaded, or of how a film is written.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from sdxs import film, walks
from sdxs.errors import InputError
from sdxs.metadata.marker import Label, Marker
from sdxs.picture import SUFFIXES
from sdxs.service import options as table

ENDS = "seed", "to_prompt", "to_seed", "walk"  # of the table: what differs between frames


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--frames", type=int, metavar="N",
        help="a film of the way to --to-prompt or --to-seed, in so many pictures; --output is then "
        f"{' or '.join(film.SUFFIXES)}")  # fmt: skip
    add("--fps", type=int, metavar="N", help=f"frames a second (default: {film.FPS})")
    add("--loop", action="store_true", help="and back to where it began, over and over again")


def suffixes(options: argparse.Namespace) -> Iterable[str]:
    """How the name of what is written may end."""
    return SUFFIXES if options.frames is None else film.SUFFIXES


def check(options: argparse.Namespace, given: dict[str, Any]) -> None:
    """Raise InputError for what makes no sense of a film, or without one."""
    if options.frames is None:
        if options.fps is not None or options.loop:
            named = "--loop" if options.loop else "--fps"
            raise InputError(f"--frames is missing: {named} says nothing without it")
        if options.output.suffix.lower() == ".mp4":
            raise InputError(f"--output {options.output} is a film: add --frames, so many pictures")
        return
    walks.frame_count(options.frames, name="--frames")
    film.rate(film.FPS if options.fps is None else options.fps, "--fps")
    if not {"to_prompt", "to_seed"} & given.keys():
        raise InputError("--to-prompt or --to-seed is missing: --frames lead there")
    if options.count != 1 or options.walk is not None:
        named = "--walk" if options.walk is not None else "--count"
        raise InputError(f"--frames makes a film, and {named} is about pictures: leave one out")
    film.check_file(options.output)


def take(
    model: Any, options: argparse.Namespace, given: dict[str, Any], label: Label, marker: Marker
) -> str:
    """Write the film, with a progress bar, and give a line about it. Raises InputError."""
    told, file, count = table.keywords(given), options.output, options.frames
    fps, loop = options.fps or film.FPS, options.loop
    prompts = [given["prompt"], given.get("to_prompt", given["prompt"])]
    seeds = [given["seed"], given.get("to_seed", given["seed"])]
    same = {name: value for name, value in told.items() if name not in ENDS}
    label = label.of_film(frames=count, fps=fps, loop=loop)
    frames = model.walk(prompts, seeds=seeds, frames=count, loop=loop, **same)
    with tqdm(frames, "frames", count, leave=False, disable=None) as shown:
        film.write(file, shown, count=count, fps=fps, loop=loop, label=label, marker=marker)
    return f"{file}  {count} frames  {count / fps:.2f} s at {fps} a second"
