"""Score a model of the storybook world on the frozen captions: python -m sdxs.storybook.evaluate

A is the share of stated attributes that the evaluator sees in the picture, B the share of
captions with every stated attribute seen; both with Wilson's 95 % interval. Chance is what a
painter would score that never reads the caption but follows the odds of the world.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from tqdm import tqdm

from sdxs.checkpoint.find import weights_folder
from sdxs.errors import SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.judges.evaluator import Evaluator, Sight, check
from sdxs.storybook.world.captions import FROZEN, FROZEN_UNSEEN, Caption, describe, frozen_captions
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import (
    COLOURS,
    GROUNDS,
    HELD_OUT_SEED,
    LAYOUT_ODDS,
    PLACES,
    SIZES,
    SKIES,
    THINGS,
    THINGS_IN,
    sample_scenes,
)

BATCH = 25
ATTRIBUTES = ("thing", "colour", "size", "place", "relation", "sky", "ground")
Painter = Callable[[list[str], list[int]], Tensor]  # prompts, seeds -> (B, 3, R, R) in [-1, 1]


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    share = right / count
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, middle - reach) / scale, min(scale, middle + reach) / scale


@torch.no_grad()
def look(paint: Painter, judge: Evaluator, captions: list[Caption], title: str) -> Sight:
    """Paint every caption, the seed its line number, and look at the pictures."""
    parts = []
    for i in tqdm(range(0, len(captions), BATCH), desc=title, dynamic_ncols=True, mininterval=2):
        some = captions[i : i + BATCH]
        pictures = paint([caption.text for caption in some], list(range(i, i + len(some))))
        parts.append(judge(pictures.float().cpu().clamp(-1, 1)))
    return Sight(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def of_renders(
    judge: Evaluator, count: int, resolution: int, vae: AutoencoderTiny | None = None
) -> float:
    """A of true pictures, of scenes that no stage trains on; sent through `vae` if there is one.

    Without it this is what the judge itself gets right, with it the most a model can reach.
    """
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    rng = random.Random(HELD_OUT_SEED)
    captions = [describe(scene, rng) for scene in scenes]

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        pictures: Tensor = render([scenes[seed] for seed in seeds], resolution).picture
        return pictures if vae is None else vae.decode(vae.encode(pictures).latents).sample

    title = "renders" if vae is None else "renders through the autoencoder"
    right, total = tally(check(look(paint, judge, captions, title), captions))["A"]
    return right / total


def tally(results: list[list[tuple[str, bool]]]) -> dict[str, tuple[int, int]]:
    """Right and count by attribute, and A (all attributes) and B (whole captions)."""
    out = {}
    for name in ATTRIBUTES:
        values = [ok for row in results for attribute, ok in row if attribute == name]
        out[name] = (sum(values), len(values))
    out["A"] = (sum(right for right, _ in out.values()), sum(count for _, count in out.values()))
    out["B"] = (sum(all(ok for _, ok in row) for row in results), len(results))
    return out


def chance(captions: list[Caption]) -> dict[str, float]:
    """What a painter scores that follows the odds of the world instead of the caption.

    For colour, size, place and relation the named things are taken to be there.
    """
    odds = {
        "thing": sum(LAYOUT_ODDS[name] * count for name, count in THINGS_IN.items()) / len(THINGS),
        "colour": 1 / len(COLOURS),
        "size": 1 / len(SIZES),
        "place": 1 / len(PLACES),
        "sky": 1 / len(SKIES),
        "ground": 1 / len(GROUNDS),
    }
    side = LAYOUT_ODDS["side"] / (LAYOUT_ODDS["side"] + LAYOUT_ODDS["depth"])
    half, rest = side / 2, (1 - side) / 2
    relations = {"left": half, "right": half, "front": rest, "behind": rest, "beside": side}
    every: dict[str, list[float]] = {name: [] for name in (*ATTRIBUTES, "A", "B")}
    for caption in captions:
        luck = {
            "thing": [odds["thing"]] * len(caption.things),
            "colour": [odds["colour"] for thing in caption.things if thing.colour],
            "size": [odds["size"] for thing in caption.things if thing.size],
            "place": [odds["place"]] if caption.place else [],
            "relation": [relations[caption.relation]] if caption.relation else [],
            "sky": [odds["sky"]] if caption.sky else [],
            "ground": [odds["ground"]] if caption.ground else [],
        }
        for name, values in luck.items():
            every[name] += values
            every["A"] += values
        every["B"].append(math.prod(value for values in luck.values() for value in values))
    return {name: sum(values) / max(1, len(values)) for name, values in every.items()}


def report(sight: Sight, captions: list[Caption]) -> dict[str, dict[str, float]]:
    """Print the table and return it: share, lower, upper, chance and n, by attribute."""
    scores, blind = tally(check(sight, captions)), chance(captions)
    table = {}
    print(f"{'':10}{'right':>8}{'95 % interval':>18}{'chance':>9}{'n':>7}")
    for name, (right, count) in scores.items():
        low, high = wilson(right, count)
        share = right / max(1, count)
        row = {"share": share, "lower": low, "upper": high, "chance": blind[name], "n": count}
        table[name] = {key: round(value, 4) for key, value in row.items()}
        interval = f"{low:.1%} to {high:.1%}"
        print(f"{name:10}{share:8.1%}{interval:>18}{blind[name]:9.1%}{count:7d}")
    return table


def score(paint: Painter, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Both frozen caption files, `count` captions of each at the most."""
    judge = Evaluator.load(weights_folder("evaluator"))
    out = {}
    for name, path in (("seen", FROZEN), ("unseen", FROZEN_UNSEEN)):
        captions = frozen_captions(path)[:count]
        print(f"\n{len(captions)} captions, colour-thing pairs {name} in training")
        out[name] = report(look(paint, judge, captions, name), captions)
    return out


def painter(model: SDXS) -> Painter:
    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        pictures: Tensor = model(prompts, seed=seeds, output_type="pt")
        return pictures

    return paint


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sdxs.storybook.evaluate", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--checkpoint", default="storybook", help="a name under weights/ or a folder"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=1000,
        choices=range(1, 1001),
        metavar="N",
        help="captions of each file, 1 to 1000",
    )
    options = parser.parse_args(arguments)
    try:
        model = SDXS.load(options.checkpoint)
        judge = Evaluator.load(weights_folder("evaluator"))
        vae = AutoencoderTiny.from_pretrained(model.source.folder / "vae").eval()
        limits: dict[str, Any] = {
            "renders": round(of_renders(judge, options.count, model.size[0]), 4),
            "ceiling": round(of_renders(judge, options.count, model.size[0], vae), 4),
        }
        print("\nA of renders {renders:.1%}, after the autoencoder {ceiling:.1%}".format(**limits))
        scores = limits | score(painter(model), options.count)
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    line = json.dumps({"checkpoint": model.checkpoint, "dtype": str(model.dtype), **scores})
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
