"""A folder of captioned pictures, drawn by one artist, as Hugging Face's datasets have it."""

import json
from pathlib import Path

from tqdm import tqdm

from sdxs.errors import InputError
from sdxs.picture import to_pictures
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
