"""Score a style of the storybook world: python -m sdxs.storybook.styled --style anime

The judge tells the renderer and those of `world.artists` apart, whatever is drawn. Of 1,000
captions, painted at several strengths of the style: in how many its artist is recognised, what is
right (A) and all right (B), and how much of what the same seed gives without the style stays in
its place (intersection over union of where things are). Shares with their 95 % interval.
"""

import argparse
import json
import random
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.checkpoint.find import weights_folder
from sdxs.errors import InputError, SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.evaluate import BATCH, tally, wilson
from sdxs.storybook.judges.evaluator import FEATURES, Evaluator, Sight, check
from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.captions import describe, frozen_captions
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
PLAIN = 0  # the number of the renderer itself; those of ARTISTS follow


class StyledJudge(Evaluator):
    """An evaluator that also says which artist drew, and where things are."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = nn.Linear(FEATURES, 1 + len(ARTISTS))
        self.mask = nn.Conv2d(FEATURES, 16, 1)  # of each cell, 4 x 4 finer ones

    def all(self, picture: Tensor) -> tuple[Sight, Tensor, Tensor]:
        """A `Sight`, logits (B, 1 + artists) of the artist, and (B, 1, R / 2, R / 2) of things."""
        maps = self.body(picture)
        return self.read(maps), self.hand(maps.mean((2, 3))), F.pixel_shuffle(self.mask(maps), 4)


@torch.no_grad()
def of_artists(judge: StyledJudge, count: int, resolution: int) -> dict[str, float]:
    """What the judge gets right of renders by each artist: A, the artist, and the IoU of things."""
    found: dict[str, float] = {}
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    rng = random.Random(HELD_OUT_SEED)
    captions = [describe(scene, rng) for scene in scenes]
    for number, name in enumerate(("plain", *ARTISTS)):
        results: list[Any] = []
        right, overlap = 0, 0.0
        for first in range(0, count, BATCH):
            drawn = render(scenes[first : first + BATCH], resolution)
            picture = redraw(drawn, ARTISTS[name]) if name in ARTISTS else drawn.picture
            sight, artist, mask = judge.all(picture)
            results += check(sight, captions[first : first + BATCH])
            right += int((artist.argmax(1) == number).sum())
            seen = F.avg_pool2d(drawn.seen.sum(1, keepdim=True), 2) > 0.5
            overlap += float(iou(mask > 0, seen).sum())
        a, stated = tally(results)["A"]
        scores = {"a": a / stated, "artist": right / count, "iou": overlap / count}
        found |= {f"{name}_{key}": round(value, 4) for key, value in scores.items()}
    return found


def iou(ours: Tensor, theirs: Tensor) -> Tensor:
    """Intersection over union of masks (B, ...) bool; 1 where both are empty. (B,)"""
    both, either = ((part.flatten(1).sum(1)) for part in (ours & theirs, ours | theirs))
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both / 1.0))


@torch.no_grad()
def measure(model: SDXS, style: str, artist: str, count: int) -> dict[str, dict[str, Any]]:
    """Scores of a loaded style by strength, on the first `count` frozen captions.

    artist: the one of ARTISTS that is to be recognised.
    """
    judge, captions = StyledJudge.load(weights_folder("evaluator") / "hands"), frozen_captions()
    wanted, captions = 1 + list(ARTISTS).index(artist), captions[:count]
    results: dict[float, list[Any]] = {strength: [] for strength in STRENGTHS}
    right = dict.fromkeys(STRENGTHS, 0)
    overlap = dict.fromkeys(STRENGTHS, 0.0)
    for first in tqdm(range(0, count, BATCH), desc=style, dynamic_ncols=True, mininterval=2):
        some = captions[first : first + BATCH]
        asked: dict[str, Any] = {
            "prompt": [caption.text for caption in some],
            "seed": list(range(first, first + len(some))),
            "output_type": "pt",
        }
        plain = judge.all(model(**asked).cpu().clamp(-1, 1))[2] > 0
        for strength in STRENGTHS:
            pictures: Tensor = model(**asked, style=style, style_scale=strength)
            sight, artists, mask = judge.all(pictures.cpu().clamp(-1, 1))
            results[strength] += check(sight, some)
            right[strength] += int((artists.argmax(1) == wanted).sum())
            overlap[strength] += float(iou(mask > 0, plain).sum())
    return {
        f"{strength:g}": {
            "recognised": _share(right[strength], count),
            "A": _share(*tally(results[strength])["A"]),
            "B": _share(*tally(results[strength])["B"]),
            "iou": round(overlap[strength] / count, 4),
        }
        for strength in STRENGTHS
    }


def _share(right: int, count: int) -> dict[str, float]:
    low, high = wilson(right, count)
    parts = {"share": right / max(1, count), "lower": low, "upper": high}
    return {name: round(value, 4) for name, value in parts.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sdxs.storybook.styled", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--checkpoint", default="storybook", help="a name under weights/ or a folder")
    add("--style", required=True, help="a name under weights/styles/, a file or a folder")
    add("--artist", choices=ARTISTS, help="whose style it is to be (default: its name)")
    add("--count", type=int, default=1000, help="frozen captions (default: %(default)s)")
    options = parser.parse_args(arguments)
    artist = options.artist or options.style
    try:
        if artist not in ARTISTS:
            raise InputError(f"which artist is {artist}? --artist takes {' or '.join(ARTISTS)}")
        if not 1 <= options.count <= 1000:
            raise InputError("--count is from 1 to 1000")
        model = SDXS.load(options.checkpoint, styles={"it": options.style})
        scores = measure(model, "it", artist, options.count)
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    for strength, row in scores.items():
        shares = (f"{name} {row[name]['share']:.3f}" for name in ("recognised", "A", "B"))
        print(f"strength {strength:5}", *shares, f"IoU {row['iou']:.3f}", sep="   ")
    facts = {"checkpoint": model.checkpoint, "style": options.style, "dtype": str(model.dtype)}
    print(json.dumps({**facts, "artist": artist, "strengths": scores}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
