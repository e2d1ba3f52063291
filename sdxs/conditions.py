"""Control pictures: what a control is to follow, made of a drawing or of a photo.

Each function takes a Pillow picture of any size and mode, also one that is not decoded yet, and
gives an RGB one of the model's size, (width, height) in pixels, bright on black. Each raises
InputError for what is no picture, is damaged, animated, too small, too narrow or far too large, and
NothingToFollow, which is one, for a picture without anything to follow.

`CONDITIONS` at the bottom is the table that choosers, command line and tests read: a new way to
steer is a function and a row. Pure functions; a network that sees depth is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sdxs.arguments import choice
from sdxs.errors import InputError, NothingToFollow
from sdxs.picture import smaller, taken, to_rgb

Size = tuple[int, int]  # width, height in pixels
Grey = NDArray[np.uint8]  # (H, W)
Depths = Callable[[Image.Image], NDArray[np.float32]]  # RGB picture -> (H, W), the nearer the more

POLARITIES = ("auto", "ink", "chalk")  # dark lines on light ground, or the other way round
SMALLEST = 8  # pixels of a side
LONGEST = 64  # times as long as wide
WORKING = 768  # pixels of the longer side at which a drawing is looked at
THICK = 0.08  # of that side: what is wider is no line but a patch, and has an outline
FAINT = 10  # of 255: what differs less from its ground is no line
SPECK = 10  # pixels of what is too small to have been drawn
LINE = 2.0  # pixels that a line is at least wide in a control picture
CANNY = (100, 200)  # the usual thresholds


def from_drawing(picture: Image.Image, size: Size, *, polarity: str = "auto") -> Image.Image:
    """The lines of a drawing, white on black; the whole of it is fitted into `size`.

    polarity: "ink" on paper, "chalk" on a board, or "auto" to see which it is. Uneven light and
    noise of a photographed page are evened out, thin lines are made wide enough to be seen, of
    painted patches the outlines are taken.
    """
    if polarity not in POLARITIES:
        raise InputError(f"polarity must be one of {', '.join(POLARITIES)}, not {polarity!r}")
    grey = _as_drawn(_taken(picture), polarity)
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
    return _picture(_fit_lines(page, size))


def from_photo(picture: Image.Image, size: Size) -> Image.Image:
    """The outlines of what a photo shows, as a hand would draw them, white on black.

    Of the middle of the photo that has the shape of `size`.
    """
    width, height = size
    colours = np.asarray(_crop(picture, (2 * width, 2 * height)))
    smooth = cv2.bilateralFilter(colours, 7, 40, 5)
    edges = cv2.Canny(smooth, 40, 110, L2gradient=True)
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    long = [line for line in contours if cv2.arcLength(line, False) > width / 4]
    page = np.zeros_like(edges)
    cv2.polylines(page, long, False, 255, 3, cv2.LINE_AA)
    return _picture(_some(page.astype(np.float32) / 255, size, "outlines"))


def canny(
    picture: Image.Image, size: Size, *, low: float = CANNY[0], high: float = CANNY[1]
) -> Image.Image:
    """The edges of a photo by OpenCV's Canny, thresholds 0 to 1000, one pixel wide, white on black.

    Of the middle of the photo that has the shape of `size`. Raises InputError for other thresholds.
    """
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, float | int) or not 0 <= value <= 1000:
            raise InputError(f"canny's {name} threshold is a number from 0 to 1000, not {value!r}")
    if low > high:
        raise InputError(f"canny's low threshold, {low:g}, is above its high one, {high:g}")
    colours = np.asarray(_crop(picture, size))  # of each place, the channel that changes most
    return _picture(_some(cv2.Canny(colours, low, high).astype(np.float32) / 255, size, "edges"))


def depth(picture: Image.Image, size: Size, *, network: Depths) -> Image.Image:
    """How near everything in a photo is, white the nearest, black the farthest.

    Of the middle of the photo that has the shape of `size`. network: sees it, on any scale, since
    the picture is made to fill its range; what it sees as flat comes out grey.
    """
    cropped = _crop(picture, size)
    if np.ptp(np.asarray(cropped), axis=(0, 1)).max() < FAINT:
        raise NothingToFollow("there is no depth to see in the picture: it is blank")
    near = network(cropped)
    low, high = float(near.min()), float(near.max())
    near = (near - low) / (high - low) if high - low > 1e-6 else np.full_like(near, 0.5)
    return _picture(near).resize(size, Image.Resampling.BILINEAR)


def _taken(picture: Image.Image) -> Image.Image:
    """A picture that can be followed, decoded and upright. Raises InputError."""
    if not isinstance(picture, Image.Image):
        raise InputError(f"a control follows a Pillow picture, not {type(picture).__name__}")
    wide, high = picture.size
    if min(wide, high) < SMALLEST or max(wide, high) > LONGEST * min(wide, high):
        raise InputError(
            f"a picture of {wide} x {high} pixels is too small or too narrow to follow: a side has "
            f"{SMALLEST} pixels at least, and at most {LONGEST} times the other one's"
        )
    return taken(picture)


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
    return 2 * max(2, round(THICK * max(grey.shape) / 2)) + 1


def _ground(grey: Grey) -> Grey:
    """What a drawing is drawn on, (H, W): the usual grey around each pixel."""
    small = cv2.resize(grey, (96, 96), interpolation=cv2.INTER_AREA)
    around = cv2.medianBlur(cv2.copyMakeBorder(small, 24, 24, 24, 24, cv2.BORDER_REFLECT_101), 49)
    return cv2.resize(around[24:-24, 24:-24], grey.shape[::-1], interpolation=cv2.INTER_LINEAR)


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


def _crop(picture: Image.Image, size: Size) -> Image.Image:
    """The middle of a picture in the shape of `size`, at that size, RGB."""
    rgb = to_rgb(smaller(_taken(picture), 4 * max(size)))
    return ImageOps.fit(rgb, size, Image.Resampling.LANCZOS)


def _some(page: NDArray[np.float32], size: Size, what: str) -> NDArray[np.float32]:
    """A page of lines at `size`; raises InputError for an empty one."""
    if not page.any():
        raise NothingToFollow(
            f"there are no {what} to follow in the picture: it is blank, or blurred, or too dark"
        )
    if page.shape != size[::-1]:
        page = np.clip(1.3 * cv2.resize(page, size, interpolation=cv2.INTER_AREA), 0, 1)
    return page


def _picture(page: NDArray[np.float32]) -> Image.Image:
    """(H, W) in [0, 1] to an RGB picture."""
    return Image.fromarray((255 * page).round().astype(np.uint8)).convert("RGB")


@dataclass(frozen=True)
class Option:
    """What a condition can be told: `name` in Python, `--flag` on the command line.

    help: for people. choices: its values; it is a number if there are none.
    """

    name: str
    flag: str
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condition:
    """A way from a picture to a control picture.

    title: for people. control: whose control reads it. make: `(picture, size, **options)`, RGB.
    options: what it can be told. sees_depth: it also wants `network`.
    """

    title: str
    control: str
    make: Callable[..., Image.Image]
    options: tuple[Option, ...] = ()
    sees_depth: bool = False


POLARITY = Option("polarity", "polarity", "of a drawing: dark lines or light ones", POLARITIES)
LOW = Option("low", "canny-low", f"Canny's lower threshold (default: {CANNY[0]})")
HIGH = Option("high", "canny-high", f"Canny's upper threshold (default: {CANNY[1]})")

CONDITIONS: dict[str, Condition] = {
    "sketch": Condition("a drawing", "sketch", from_drawing, (POLARITY,)),
    "outlines": Condition("outlines of a photo", "sketch", from_photo),
    "canny": Condition("edges of a photo", "canny", canny, (LOW, HIGH)),
    "depth": Condition("depth of a photo", "depth", depth, sees_depth=True),
}
CONTROLS = tuple(name for name, row in CONDITIONS.items() if row.control == name)


def condition(
    name: str, picture: Image.Image, size: Size, *, network: Depths, **options: Any
) -> Image.Image:
    """The control image that a row of the table makes of a drawing or a photo. Raises InputError.

    network: sees depth, if the row asks for it. options: the row's.
    """
    row = CONDITIONS[choice("condition", name, tuple(CONDITIONS))]
    known = [option.name for option in row.options]
    for option in options:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"{name} has no option {option!r}, it knows {listed}")
    if row.sees_depth:
        options["network"] = network
    return row.make(picture, size, **options)
