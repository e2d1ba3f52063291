"""Sketches of the storybook world as a hand would draw them, made from pictures.

Contours are simplified, wobble, have ends that do not meet and 1 to 4 pixels of width, and some of
them are forgotten; or only the things are drawn, in a few clean lines, as people begin a drawing.
White on black, as `sdxs.conditions` gives drawings. All chance is the caller's.
"""

import random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sdxs.picture import to_pictures

FORGOTTEN = 0.15  # share of the contours that are left out, on the average
KNOWN = 128  # side in pixels of the pictures that lengths are told of; those of others grow along
SHORTEST = 12  # pixels of a contour, at twice the picture's size
WOBBLE = 1.2  # pixels that a corner may be off, at most
TWICE = 2
BUSY = 0.8  # share of the sketches that `begun` leaves as they are
ONE_OF_TWO = 0.2  # share of those of two things in which one is not drawn yet
HORIZON = 0.25  # share of those with a horizon, a straight line


def to_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (B, 3, H, W) in [-1, 1] to (B, H, W, 3) in 0..255."""
    return np.stack([np.asarray(picture) for picture in to_pictures(pictures)])


def contours(picture: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """The contours that are seen in a picture (H, W, 3), at twice its size, (N, 1, 2) each."""
    high, wide = picture.shape[:2]
    large = cv2.resize(picture, (TWICE * wide, TWICE * high), interpolation=cv2.INTER_LANCZOS4)
    edges = cv2.Canny(cv2.bilateralFilter(large, 7, 40, 5), 40, 110, L2gradient=True)
    found, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [line for line in found if cv2.arcLength(line, False) > SHORTEST * wide / KNOWN]


def sketch(picture: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """A sketch (H, W), 0 to 255, of a picture (H, W, 3)."""
    high, wide = picture.shape[:2]
    page = np.zeros((TWICE * high, TWICE * wide), np.uint8)
    scale = wide / KNOWN
    width = TWICE * scale * rng.uniform(1.0, 3.5)
    forgotten = rng.uniform(0, 2 * FORGOTTEN)
    coarse = scale * rng.uniform(0.5, 2.5)
    for line in contours(picture):
        chance = [rng.random() for _ in range(3)]
        if chance[0] < forgotten:
            continue
        simple = cv2.approxPolyDP(line, coarse, False).astype(np.float32)
        wobble = [rng.uniform(-WOBBLE, WOBBLE) * TWICE * scale for _ in range(simple.size)]
        simple += np.array(wobble, np.float32).reshape(simple.shape)
        if chance[1] < 0.3 and len(simple) > 3:  # the pen was lifted early
            simple = simple[: -max(1, len(simple) // 8)]
        pen = max(1, round(width * (0.8 + 0.4 * chance[2])))
        cv2.polylines(page, [simple.round().astype(np.int32)], False, 255, pen, cv2.LINE_AA)
    return cv2.resize(page, (wide, high), interpolation=cv2.INTER_AREA)


def begun(
    picture: NDArray[np.uint8], seen: NDArray[np.float32], horizon: float, rng: random.Random
) -> NDArray[np.uint8]:
    """A sketch (H, W) of a picture (H, W, 3) that may be only begun.

    seen: (2, H, W) in [0, 1], where its things are. horizon: its height, from the top, in sides.
    """
    if rng.random() < BUSY:
        return sketch(picture, rng)
    high, wide = picture.shape[:2]
    size = (TWICE * wide, TWICE * high)
    things = [cv2.resize(part, size) for part in seen if part.max() > 0.5]
    if len(things) == 2 and rng.random() < ONE_OF_TWO:
        things.pop(rng.randrange(2))
    outline = rng.random() < 0.5  # or also the lines within
    scale = wide / KNOWN
    around_it = np.ones((2 * round(4 * scale) + 1,) * 2, np.uint8)
    lines: list[NDArray[Any]] = []
    for thing in things:
        inside = (thing > 0.5).astype(np.uint8)
        around = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        near = cv2.dilate(inside, around_it) > 0
        within = [line for line in contours(picture) if near[line[:, 0, 1], line[:, 0, 0]].all()]
        lines += around if outline or not within else within
    page = np.zeros(size[::-1], np.uint8)
    pen = max(1, round(TWICE * scale * rng.uniform(1.0, 3.5)))
    coarse = scale * rng.uniform(1.0, 4.0)
    for line in lines:
        simple = cv2.approxPolyDP(line, coarse, outline)
        cv2.polylines(page, [simple], outline, 255, pen, cv2.LINE_AA)
    if rng.random() < HORIZON:
        row = round(horizon * size[1])
        cv2.line(page, (0, row), (size[0], row), 255, pen, cv2.LINE_AA)
    return cv2.resize(page, (wide, high), interpolation=cv2.INTER_AREA)
