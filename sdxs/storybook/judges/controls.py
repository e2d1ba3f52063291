"""How well pictures follow a control: by their lines, or by their depth as another network sees it.

Lines are compared with those of the scene (F1 of edges, within a tolerance in pixels), depth with
the exact one (Pearson's correlation). Since every scene is nearer below than above, its relief is
compared too: what stands out of each row.
"""

import random
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sdxs.checkpoint.depth import load_depth
from sdxs.checkpoint.find import weights_folder
from sdxs.conditions import CANNY, depth
from sdxs.pipeline import SDXS
from sdxs.storybook.judges.depth import DepthJudge, agreement
from sdxs.storybook.judges.evaluator import SIDE, known
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import HELD_OUT_SEED, Scene
from sdxs.storybook.world.sketches import contours, sketch, to_bytes

TOLERANCE = {"canny": 1, "sketch": 2}  # pixels, of pictures of SIDE
SEED = HELD_OUT_SEED + 2  # of scenes that nothing else uses
Bytes = NDArray[np.uint8]
# pictures (B, 3, R, R) and the scenes to be followed -> likenesses by name, a number each
Likeness = Callable[[Tensor, Render], dict[str, list[float]]]


def control_images(model: SDXS, control: str, scenes: list[Scene], first: int) -> list[Image.Image]:
    """What a control follows of scenes, of which `first` is the number of the first.

    Each sketch is drawn otherwise. Depth is seen by the network of the storybook world, wherever
    the model comes from.
    """
    pictures = to_bytes(render(scenes, model.size[0]).picture)
    if control == "sketch":
        return [
            Image.fromarray(sketch(picture, random.Random(f"{SEED}/{number}")))
            for number, picture in enumerate(pictures, start=first)
        ]
    if control == "depth":
        sees = load_depth(weights_folder("depth"), model.device)
        return [depth(Image.fromarray(picture), model.size, network=sees) for picture in pictures]
    return [model.condition(control, Image.fromarray(picture)) for picture in pictures]


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


def likeness(control: str) -> Likeness:
    """What says how like the scenes that a control followed pictures are."""
    if control == "depth":
        judge = DepthJudge.load(weights_folder("evaluator") / "depth")

        def nearness(pictures: Tensor, wanted: Render) -> dict[str, list[float]]:
            seen, exact = judge(known(pictures)), known(wanted.depth)
            standing = agreement(relief(seen), relief(exact))
            return {"depth": agreement(seen, exact).tolist(), "relief": standing.tolist()}

        return nearness

    def edges(pictures: Tensor, wanted: Render) -> dict[str, list[float]]:
        pairs = zip(to_bytes(pictures), to_bytes(wanted.picture), strict=True)
        near = TOLERANCE[control] * max(1, pictures.shape[-1] // SIDE)
        return {"lines": [f1(lines(a, control), lines(b, control), near) for a, b in pairs]}

    return edges
