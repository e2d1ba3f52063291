"""Score a model of the storybook world on the frozen captions: python -m sdxs.storybook.evaluate

A is the share of stated attributes that the evaluator sees in the picture, B the share of
captions with every stated attribute seen; both with Wilson's 95 % interval. The chance level of
an attribute is what the same pictures score when they are dealt to the wrong captions.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.errors import SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.captions import FROZEN, FROZEN_UNSEEN, Caption, frozen_captions
from sdxs.storybook.evaluator import Evaluator, Sight, check
from sdxs.weights import weights_folder

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
    return (middle - reach) / scale, (middle + reach) / scale


@torch.no_grad()
def look(paint: Painter, judge: Evaluator, captions: list[Caption], title: str) -> Sight:
    """Paint every caption, the seed its line number, and look at the pictures."""
    parts = []
    for i in tqdm(range(0, len(captions), BATCH), desc=title, dynamic_ncols=True, mininterval=2):
        some = captions[i : i + BATCH]
        pictures = paint([caption.text for caption in some], list(range(i, i + len(some))))
        parts.append(judge(pictures.float().clamp(-1, 1)))
    return Sight(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def tally(results: list[list[tuple[str, bool]]]) -> dict[str, tuple[int, int]]:
    """Right and count by attribute, and A (all attributes) and B (whole captions)."""
    out = {}
    for name in ATTRIBUTES:
        values = [ok for row in results for attribute, ok in row if attribute == name]
        out[name] = (sum(values), len(values))
    out["A"] = (sum(right for right, _ in out.values()), sum(count for _, count in out.values()))
    out["B"] = (sum(all(ok for _, ok in row) for row in results), len(results))
    return out


def report(sight: Sight, captions: list[Caption]) -> dict[str, dict[str, float]]:
    """Print the table and return it: share, lower, upper, chance and n, by attribute."""
    shifted = Sight(*(field.roll(len(captions) // 2 + 1, 0) for field in sight))
    scores, chances = tally(check(sight, captions)), tally(check(shifted, captions))
    table = {}
    print(f"{'':10}{'right':>8}{'95 % interval':>18}{'chance':>9}{'n':>7}")
    for name, (right, count) in scores.items():
        low, high = wilson(right, count)
        chance = chances[name][0] / max(1, count)
        share = right / max(1, count)
        row = {"share": share, "lower": low, "upper": high, "chance": chance, "n": count}
        table[name] = {key: round(value, 4) for key, value in row.items()}
        print(f"{name:10}{share:8.1%}{f'{low:.1%} to {high:.1%}':>18}{chance:9.1%}{count:7d}")
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
    parser.add_argument("--count", type=int, default=1000, help="captions of each file")
    parser.add_argument("--json", type=Path, help="also write the last line to this file")
    options = parser.parse_args(arguments)
    try:
        model = SDXS.load(options.checkpoint)
        scores = score(painter(model), options.count)
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    line = json.dumps({"checkpoint": model.checkpoint, "dtype": str(model.dtype), **scores})
    if options.json:
        options.json.write_text(line + "\n")
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
