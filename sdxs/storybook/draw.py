"""A folder of captioned pictures, drawn by one artist: python -m sdxs.storybook.draw FOLDER

What a person with pictures of their own style brings, for `sdxs.train.style`: the pictures, and
`metadata.jsonl` with a caption of each, as Hugging Face's datasets have it.
"""

import argparse
from pathlib import Path

from sdxs.storybook import command
from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.folders import draw


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sdxs.storybook.draw", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="a new one")
    add("--artist", choices=ARTISTS, help="by whom (default: the plain renderer)")
    add("--count", type=command.whole(1), default=1000, metavar="N")
    add("--seed", type=int, default=21)
    add("--resolution", type=command.whole(1), default=128, metavar="PIXELS")
    options = vars(parser.parse_args(arguments))
    draw(**options)
    print(options["folder"])


if __name__ == "__main__":
    raise SystemExit(main())
