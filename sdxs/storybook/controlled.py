"""Score a control of the storybook world: python -m sdxs.storybook.controlled --control sketch

Held-out scenes give captions and control pictures. Of what is painted by both: how well its lines
lie on those of the scene (F1 of edges, within a tolerance in pixels), or how well its depth, as a
second network sees it, goes with the exact one (Pearson's correlation; since every scene is nearer
below than above, also its relief: what stands out of each row). The same against another scene; A
and B beside those of the model without a control; what happens when the prompt contradicts the
control; how the strength of the control acts. Means with their 95 % interval.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sdxs.checkpoint.depth import load_depth
from sdxs.checkpoint.find import weights_folder
from sdxs.conditions import CANNY, CONTROLS, depth
from sdxs.errors import InputError, SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.evaluate import BATCH, tally, wilson
from sdxs.storybook.judges.depth import DepthJudge, agreement
from sdxs.storybook.judges.evaluator import Evaluator, check
from sdxs.storybook.world.captions import Caption, describe
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import COLOURS, HELD_OUT_SEED, PLACE_X, Scene, Thing, sample_scenes
from sdxs.storybook.world.tracing import contours, to_bytes, trace
from sdxs.storybook.world.words import UNSEEN_PAIRS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
TOLERANCE = {"canny": 1, "sketch": 2}  # pixels
SEED = HELD_OUT_SEED + 2  # of scenes that nothing else uses
Bytes = NDArray[np.uint8]
Likeness = Callable[[Tensor, Render], list[float]]  # pictures, the scenes that were to be followed


def f1(ours: NDArray[np.bool_], wanted: NDArray[np.bool_], tolerance: int) -> float:
    """F1 of two sets of pixels (H, W), a pixel right if one of the others is within `tolerance`."""
    window = np.ones((2 * tolerance + 1,) * 2, np.uint8)
    right = [
        float(a[cv2.dilate(b.astype(np.uint8), window) > 0].sum()) / max(1, int(a.sum()))
        for a, b in ((ours, wanted), (wanted, ours))
    ]
    return 2 * right[0] * right[1] / max(1e-9, sum(right))


def lines(picture: Bytes, control: str) -> NDArray[np.bool_]:
    """The lines of a picture (H, W, 3) that a control is about, a pixel wide: (H, W)."""
    if control == "canny":
        return cv2.Canny(picture, *CANNY) > 0
    high, wide = picture.shape[:2]
    page = np.zeros((2 * high, 2 * wide), np.uint8)
    cv2.polylines(page, contours(picture), False, 255, 1)
    return page.reshape(high, 2, wide, 2).max((1, 3)) > 0


def relief(depth: Tensor) -> Tensor:
    """Depth (B, 1, H, W) less the median of each row: what stands there, without the ground."""
    return depth - depth.median(3, keepdim=True).values


def likenesses(control: str) -> dict[str, Likeness]:
    """How like the scenes that a control followed pictures (B, 3, R, R) are, one by one."""
    if control == "depth":
        judge = DepthJudge.load(weights_folder("evaluator") / "depth")
        return {
            "depth": lambda pictures, wanted: agreement(judge(pictures), wanted.depth).tolist(),
            "relief": lambda pictures, wanted: agreement(
                relief(judge(pictures)), relief(wanted.depth)
            ).tolist(),
        }

    def edges(pictures: Tensor, wanted: Render) -> list[float]:
        pairs = zip(to_bytes(pictures), to_bytes(wanted.picture), strict=True)
        return [f1(lines(a, control), lines(b, control), TOLERANCE[control]) for a, b in pairs]

    return {"lines": edges}


def followed(model: SDXS, control: str, scenes: list[Scene], first: int) -> list[Image.Image]:
    """The control pictures of scenes; a sketch is each time another hand's.

    Depth is seen by the network of the storybook world, wherever the model comes from.
    """
    pictures = to_bytes(render(scenes, model.size[0]).picture)
    if control == "sketch":
        drawn = [
            trace(picture, random.Random(f"{SEED}/{number}"))
            for number, picture in enumerate(pictures, start=first)
        ]
        return [Image.fromarray(sketch) for sketch in drawn]
    if control == "depth":
        sees = load_depth(weights_folder("depth"), model.device)
        return [depth(Image.fromarray(picture), model.size, network=sees) for picture in pictures]
    return [model.condition(control, Image.fromarray(picture)) for picture in pictures]


def contradicted(scene: Scene, rng: random.Random) -> Scene:
    """The same things elsewhere, as a caption can say, in other colours that training knows."""
    things = list(scene.things)
    if scene.layout == "depth":  # the farther one comes to the front
        things = [replace(a, y=b.y) for a, b in zip(things, reversed(things), strict=True)][::-1]
    elif scene.place == "middle":
        things = [replace(things[0], x=rng.uniform(*PLACE_X[rng.choice(("left", "right"))]))]
    else:
        things = [replace(thing, x=1 - thing.x) for thing in things]
    return replace(scene, things=tuple(recoloured(thing, rng) for thing in things))


def recoloured(thing: Thing, rng: random.Random) -> Thing:
    """In another colour, one that training shows on it."""
    known = [c for c in COLOURS if c != thing.colour and (c, thing.kind) not in UNSEEN_PAIRS]
    return replace(thing, colour=rng.choice(known))


def mean(values: list[float]) -> dict[str, float]:
    """Mean, and the bounds of its 95 % interval by the normal approximation."""
    middle = sum(values) / len(values)
    spread = math.sqrt(sum((v - middle) ** 2 for v in values) / max(1, len(values) - 1))
    reach = 1.96 * spread / math.sqrt(len(values))
    parts = {"mean": middle, "lower": middle - reach, "upper": middle + reach, "n": len(values)}
    return {name: round(value, 4) for name, value in parts.items()}


def share(results: list[list[tuple[str, bool]]], name: str) -> dict[str, float]:
    """One row of a tally with its interval."""
    right, count = tally(results)[name]
    low, high = wilson(right, count)
    parts = {"share": right / max(1, count), "lower": low, "upper": high, "n": count}
    return {key: round(value, 4) for key, value in parts.items()}


@torch.no_grad()
def measure(model: SDXS, control: str, count: int) -> dict[str, Any]:
    """All scores of a control that is loaded, on `count` scenes."""
    judge, alike = Evaluator.load(weights_folder("evaluator")), likenesses(control)
    scenes, rng = sample_scenes(count, SEED), random.Random(SEED)
    captions = [describe(scene, rng) for scene in scenes]
    others = [describe(contradicted(scene, rng), rng, drop=0.0) for scene in scenes]
    found: dict[str, list[float]] = {}
    judged: dict[str, list[Any]] = {"controlled": [], "plain": [], "contradicted": []}

    def compare(what: str, painted: Tensor, wanted: Render) -> None:
        for name, like in alike.items():
            found.setdefault(f"{name}, {what}", []).extend(like(painted, wanted))

    def look(name: str, pictures: Tensor, some: list[Caption]) -> None:
        judged[name] += check(judge(pictures), some)

    starts = range(0, count, BATCH)
    for first in tqdm(starts, desc=control, dynamic_ncols=True, mininterval=2):
        rows = slice(first, first + BATCH)
        wanted = render(scenes[rows], model.size[0])
        others_of = [scenes[(i + 1) % count] for i in range(count)[rows]]
        shuffled = render(others_of, model.size[0])
        pictures = followed(model, control, scenes[rows], first)
        seeds = list(range(first, first + len(pictures)))

        def paint(
            some: list[Caption],
            strength: float,
            pictures: list[Image.Image] = pictures,
            seeds: list[int] = seeds,
        ) -> Tensor:
            painted: Tensor = model(
                [caption.text for caption in some], seed=seeds, control=control,
                control_image=pictures, control_scale=strength, output_type="pt",
            )  # fmt: skip
            return painted.cpu().clamp(-1, 1)

        for strength in STRENGTHS:
            painted = paint(captions[rows], strength)
            compare(f"strength {strength:g}", painted, wanted)
            if strength == 1:
                compare("another scene", painted, shuffled)
                look("controlled", painted, captions[rows])
            elif strength == 0:
                look("plain", painted, captions[rows])
        painted = paint(others[rows], 1.0)
        compare("contradicted", painted, wanted)
        look("contradicted", painted, others[rows])
    scores: dict[str, Any] = {name: mean(values) for name, values in found.items()}
    for name in ("controlled", "plain"):
        scores |= {f"{letter}, {name}": share(judged[name], letter) for letter in ("A", "B")}
    scores["colour, contradicted"] = share(judged["contradicted"], "colour")
    return scores


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sdxs.storybook.controlled", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--checkpoint", default="storybook", help="a name under weights/ or a folder")
    add("--control", choices=CONTROLS,
        required=True, help="which")  # fmt: skip
    add("--folder", help="of the control (default: the one that ships)")
    add("--count", type=int, default=1000, help="scenes (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        if options.count < 2:
            raise InputError("--count is at least 2: a control picture is compared with another")
        source = options.folder or options.control
        model = SDXS.load(options.checkpoint, controls={options.control: source})
        scores = measure(model, options.control, options.count)
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    for name, row in scores.items():
        print(f"{name:22}", *(f"{key} {value:g}  " for key, value in row.items()))
    facts = {"checkpoint": model.checkpoint, "control": options.control, "dtype": str(model.dtype)}
    print(json.dumps({**facts, **scores}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
