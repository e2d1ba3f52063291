"""The lines of a drawing as a control follows them, white on black: pen or chalk, page or photo.

Finds what is drawn by how far it lies from its ground. Pure functions; knows nothing of tables,
controls or networks.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdxs.errors import InputError, NothingToFollow
from sdxs.picture import SMALLEST, Size, followable, smaller, to_picture, to_rgb

Grey = NDArray[np.uint8]  # (H, W)

POLARITIES = ("auto", "ink", "chalk")  # dark lines on light ground, or the other way round
WORKING = 768  # pixels of the longer side at which a drawing is looked at
THICK = 0.08  # of that side: what is wider is no line but a patch, and has an outline
FAINT = 10  # of 255: what differs less from its ground is no line
SPECK = 10  # pixels of what is too small to have been drawn
LINE = 2.0  # pixels that a line is at least wide in a control image


def from_drawing(picture: Image.Image, size: Size, *, polarity: str = "auto") -> Image.Image:
    """The lines of a drawing, white on black; the whole of it is fitted into `size`.

    polarity: "ink" on paper, "chalk" on a board, or "auto" to see which it is. Uneven light and
    noise of a photographed page are evened out, thin lines are made wide enough to be seen, of
    painted patches the outlines are taken.
    """
    if polarity not in POLARITIES:
        raise InputError(f"polarity must be one of {', '.join(POLARITIES)}, not {polarity!r}")
    grey = _as_drawn(followable(picture), polarity)
    if polarity == "chalk" or (polarity == "auto" and _is_chalk(grey)):
        grey = 255 - grey
    thick = _thick(grey)
    without = _by_octagon(_by_octagon(grey, cv2.dilate, thick), cv2.erode, thick)
    page = _drawn(cv2.subtract(without, grey))
    if np.ptp(without) > FAINT:  # there are patches, too
        patches = _by_octagon(_by_octagon(without, cv2.erode, thick), cv2.dilate, thick)
        patches = cv2.Canny(cv2.GaussianBlur(patches, (0, 0), 1.5), 40, 100)
        page = np.maximum(page, _drawn(cv2.dilate(patches, np.ones((2, 2), np.uint8))))
    if not page.any():
        raise NothingToFollow(
            "there are no lines to follow in the drawing: it is blank, or they are too faint"
        )
    return to_picture(_fit_lines(page, size))


def _as_drawn(picture: Image.Image, polarity: str) -> Grey:
    """A drawing in grey, (H, W), at most WORKING a side.

    Shrunk so that thin lines stay: at last each pixel keeps the extreme of those it stands for.
    """
    picture = smaller(picture, 2 * WORKING)
    grey = np.asarray(to_rgb(picture, _paper(picture, polarity)).convert("L"))
    shrink = max(grey.shape) / WORKING
    if shrink <= 1:
        return grey
    sides = tuple(max(SMALLEST, round(side / shrink)) for side in reversed(grey.shape))
    window = np.ones((2, 2), np.uint8)
    darkest, lightest = (
        cv2.resize(spread(grey, window), sides, interpolation=cv2.INTER_AREA)
        for spread in (cv2.erode, cv2.dilate)
    )
    ground = _ground(cv2.resize(grey, sides, interpolation=cv2.INTER_AREA))
    darker = cv2.absdiff(darkest, ground) >= cv2.absdiff(lightest, ground)
    extreme: Grey = np.where(darker, darkest, lightest).astype(np.uint8)
    return extreme


def _paper(picture: Image.Image, polarity: str) -> str:
    """What to lay under a drawing that is transparent in parts."""
    if not picture.has_transparency_data:
        return "white"
    grey, alpha = (np.asarray(part) for part in picture.convert("RGBA").convert("LA").split())
    opaque = grey[alpha > 127]
    if len(opaque) > grey.size / 2:
        shade = int(np.median(opaque))
        drawn = np.abs(opaque.astype(int) - shade) > FAINT
        if drawn.mean() > 1e-3:  # a page, cut out, with lines on it: its own grey
            return f"rgb({shade},{shade},{shade})"
    if polarity == "auto":  # strokes alone: what lets them be seen
        return "black" if len(opaque) and opaque.mean() > 127 else "white"
    return "black" if polarity == "chalk" else "white"


def _is_chalk(grey: Grey) -> bool:
    """Whether what is drawn is lighter than what it is drawn on.

    Thin things say so; patches, of which one may be the page itself on a table, only without them.
    """

    def much(part: Grey) -> int:
        return int(part[part > _faint(part)].sum(dtype=np.int64))

    ground, thick = _ground(grey), _thick(grey)
    brush = np.ones((thick, thick), np.uint8)
    darker, lighter = cv2.subtract(ground, grey), cv2.subtract(grey, ground)
    dark, light = (
        much(cv2.min(part, cv2.morphologyEx(grey, method, brush)))
        for part, method in ((darker, cv2.MORPH_BLACKHAT), (lighter, cv2.MORPH_TOPHAT))
    )
    return light > dark if light or dark else much(lighter) > much(darker)


def _by_octagon(grey: Grey, method: Callable[..., Any], side: int) -> Grey:
    """Dilate or erode by an octagon, a square and a diamond: nearly a disc, and much quicker."""
    diamond = round(side // 2 * (2 - 2**0.5))
    square = np.ones((2 * (side // 2 - diamond) + 1,) * 2, np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    done: Grey = method(method(grey, square), cross, iterations=diamond)
    return done


def _thick(grey: Grey) -> int:
    """The side, odd, in pixels, of what is no line any more."""
    longer: int = max(grey.shape)
    return 2 * max(2, round(THICK * longer / 2)) + 1


def _ground(grey: Grey) -> Grey:
    """What a drawing is drawn on, (H, W): the usual grey around each pixel."""
    small = cv2.resize(grey, (96, 96), interpolation=cv2.INTER_AREA)
    around = cv2.medianBlur(cv2.copyMakeBorder(small, 24, 24, 24, 24, cv2.BORDER_REFLECT_101), 49)
    middle = around[24:-24, 24:-24]
    ground: Grey = cv2.resize(middle, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return ground


def _faint(apart: Grey) -> float:
    """How much a pixel must differ from its ground to count: more than noise does."""
    usual = float(np.median(apart))
    return usual + max(FAINT, 7 * float(np.median(cv2.absdiff(apart, usual))))


def _drawn(apart: Grey) -> NDArray[np.float32]:
    """How sure a line is, (H, W) in [0, 1], by how far it lies from its ground."""
    faint = _faint(apart)
    ink = (apart > faint).astype(np.uint8)
    _, names, facts, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= min(SPECK, ink.size // 500)
    large[0] = False  # the ground
    kept = large[names]
    if not kept.any():
        return np.zeros(apart.shape, np.float32)
    strongest = float(np.percentile(apart[kept], 90))
    sure = (apart.astype(np.float32) - faint / 2) / (0.6 * strongest)
    around = cv2.dilate(kept.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # their soft edges
    return np.where(around, np.clip(sure, 0, 1), 0).astype(np.float32)


def _fit_lines(drawn: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Lines (H, W) in [0, 1] made to fit into `size`, at least LINE pixels wide there."""
    high, wide = drawn.shape
    shrink = max(wide / size[0], high / size[1])
    ink = cv2.copyMakeBorder((drawn > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    reach = cv2.distanceTransform(ink, cv2.DIST_L2, 3)
    middle = (ink > 0) & (reach >= cv2.dilate(reach, np.ones((3, 3), np.uint8)))
    if middle.any():  # half the width of the thinner lines is known there
        own = 2 * float(np.percentile(reach[middle], 25)) - 1
        missing = round(LINE * shrink - own)
        if missing > 0:
            brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
            drawn = cv2.dilate(drawn, brush)
    sides = max(1, round(wide / shrink)), max(1, round(high / shrink))
    method = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
    fitted = np.clip(1.3 * cv2.resize(drawn, sides, interpolation=method), 0, 1)
    page = np.zeros((size[1], size[0]), np.float32)
    left, top = (size[0] - sides[0]) // 2, (size[1] - sides[1]) // 2
    page[top : top + sides[1], left : left + sides[0]] = fitted
    return page
