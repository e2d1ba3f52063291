"""A folder of captioned pictures, drawn by one artist: python -m sdxs.storybook.draw FOLDER

What a person with pictures of their own style brings, for `sdxs.train.style`: the pictures, and
`metadata.jsonl` with a caption of each, as Hugging Face's datasets have it.
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from sdxs.errors import InputError
from sdxs.picture import to_pictures
from sdxs.storybook import command
from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.captions import described
from sdxs.storybook.world.render import render

CHUNK = 32


def draw(folder: Path, artist: str | None, count: int, seed: int, resolution: int) -> None:
    """Leave `count` pictures in a new folder, by one of ARTISTS; None is the plain renderer."""
    if folder.exists():
        raise InputError(f"{folder} is there already: name a new folder")
    folder.mkdir(parents=True)
    scenes, captions = described(count, seed)
    by = ARTISTS[artist] if artist else None
    with open(folder / "metadata.jsonl", "w", encoding="utf-8") as file:
        for first in tqdm(range(0, count, CHUNK), desc="pictures", mininterval=2):
            drawn = redraw(render(scenes[first : first + CHUNK], resolution), by)
            for number, picture in enumerate(to_pictures(drawn), first):
                name = f"{number:05d}.png"
                picture.save(folder / name)
                print(json.dumps({"file_name": name, "text": captions[number].text}), file=file)


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
