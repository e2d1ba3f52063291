"""Control images: what a control is to follow, made of a drawing or of a photo.

Each function takes a Pillow picture of any size and mode, also one that is not decoded yet, and
gives an RGB one of the model's size, (width, height) in pixels, bright on black; of a photo it is
the middle that has this shape. Each raises InputError for what is no picture, is damaged, animated,
too small, too narrow or far too large, and NothingToFollow, which is one, for a picture without
anything to follow.

`CONDITIONS` is the table that choosers, command line and tests read: a new condition is a function
and a row. Pure functions; a network that sees depth is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sdxs.arguments import choice
from sdxs.drawing import FAINT, POLARITIES, from_drawing
from sdxs.errors import InputError, NothingToFollow
from sdxs.picture import Size, followable, smaller, to_picture, to_rgb

Depths = Callable[[Image.Image], NDArray[np.float32]]  # RGB picture -> (H, W), the nearer the more

CANNY = (100, 200)  # the usual thresholds


def from_photo(picture: Image.Image, size: Size) -> Image.Image:
    """The outlines of what a photo shows, as a hand would draw them, white on black."""
    width, height = size
    colours = np.asarray(_crop(picture, (2 * width, 2 * height)))
    smooth = cv2.bilateralFilter(colours, 7, 40, 5)
    edges = cv2.Canny(smooth, 40, 110, L2gradient=True)
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    long = [line for line in contours if cv2.arcLength(line, False) > width / 4]
    page = np.zeros_like(edges)
    cv2.polylines(page, long, False, 255, 3, cv2.LINE_AA)
    return to_picture(_some(page.astype(np.float32) / 255, size, "outlines"))


def canny(
    picture: Image.Image, size: Size, *, low: float = CANNY[0], high: float = CANNY[1]
) -> Image.Image:
    """The edges of a photo by OpenCV's Canny, one pixel wide, white on black. low, high: thresholds
    from 0 to 1000; others are an InputError."""
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, float | int) or not 0 <= value <= 1000:
            raise InputError(f"canny's {name} threshold is a number from 0 to 1000, not {value!r}")
    if low > high:
        raise InputError(f"canny's low threshold, {low:g}, is above its high one, {high:g}")
    colours = np.asarray(_crop(picture, size))  # of each place, the channel that changes most
    return to_picture(_some(cv2.Canny(colours, low, high).astype(np.float32) / 255, size, "edges"))


def depth(picture: Image.Image, size: Size, *, network: Depths) -> Image.Image:
    """How near everything in a photo is, white the nearest, black the farthest.

    network: sees it, on any scale, since the picture is made to fill its range; what it sees as
    flat comes out grey.
    """
    cropped = _crop(picture, size)
    if np.ptp(np.asarray(cropped), axis=(0, 1)).max() < FAINT:
        raise NothingToFollow("there is no depth to see in the picture: it is blank")
    near = network(cropped)
    low, high = float(near.min()), float(near.max())
    near = (near - low) / (high - low) if high - low > 1e-6 else np.full_like(near, 0.5)
    return to_picture(near).resize(size, Image.Resampling.BILINEAR)


def _crop(picture: Image.Image, size: Size) -> Image.Image:
    """The middle of a picture in the shape of `size`, at that size, RGB."""
    rgb = to_rgb(smaller(followable(picture), 4 * max(size)))
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


@dataclass(frozen=True)
class Option:
    """What a condition can be told: `name` in Python, `--flag` on the command line. It is one of
    `choices`, or a number if there are none."""

    name: str
    flag: str
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condition:
    """A way from a picture to a control image.

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
OF_CONDITIONS = {option.flag: option for row in CONDITIONS.values() for option in row.options}
READY = "ready"  # no condition: the picture is a control image already
CONTROLS = tuple(name for name, row in CONDITIONS.items() if row.control == name)


def condition(
    name: str, picture: Image.Image, size: Size, *, network: Depths, **options: Any
) -> Image.Image:
    """The control image that a row of the table makes, told its own options. Raises InputError."""
    row = CONDITIONS[choice("condition", name, tuple(CONDITIONS))]
    known = [option.name for option in row.options]
    for option in options:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"{name} has no option {option!r}, it knows {listed}")
    if row.sees_depth:
        options["network"] = network
    return row.make(picture, size, **options)
