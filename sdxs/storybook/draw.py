"""A folder of captioned pictures, drawn by one artist: python -m sdxs.storybook.draw FOLDER

What a person with pictures of their own style brings, for `sdxs.train.style`: the pictures, and
`metadata.jsonl` with a caption of each, as Hugging Face's datasets have it.
"""

import argparse
import json
import random
import sys
from pathlib import Path

from tqdm import tqdm

from sdxs.picture import to_pictures
from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.captions import describe
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import sample_scenes

CHUNK = 32


def draw(folder: Path, artist: str | None, count: int, seed: int, resolution: int) -> None:
    """Leave `count` pictures in a new folder, by one of ARTISTS; None is the plain renderer."""
    folder.mkdir(parents=True)
    scenes, rng = sample_scenes(count, seed), random.Random(seed)
    with open(folder / "metadata.jsonl", "w", encoding="utf-8") as captions:
        for first in tqdm(range(0, count, CHUNK), desc="pictures", mininterval=2):
            some = scenes[first : first + CHUNK]
            drawn = render(some, resolution)
            pictures = redraw(drawn, ARTISTS[artist]) if artist else drawn.picture
            for number, picture in enumerate(to_pictures(pictures), first):
                name = f"{number:05d}.png"
                picture.save(folder / name)
                text = describe(scenes[number], rng).text
                print(json.dumps({"file_name": name, "text": text}), file=captions)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sdxs.storybook.draw", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="a new one")
    add("--artist", choices=ARTISTS, help="by whom (default: the plain renderer)")
    add("--count", type=_positive, default=1000, metavar="N")
    add("--seed", type=int, default=21)
    add("--resolution", type=_positive, default=128, metavar="PIXELS")
    options = vars(parser.parse_args(arguments))
    if options["folder"].exists():
        print(f"{options['folder']} is there already: name a new folder", file=sys.stderr)
        return 2
    try:
        draw(**options)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    print(options["folder"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
