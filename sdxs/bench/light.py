"""The program that `sdxs.bench.lite` measures: `python -m sdxs.bench.light FILE ROUNDS COUNT`.

The embedded model, by whatever paints here; it imports no torch itself. What it is asked for in the
end is kept in FILE, for others to be compared with.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import sdxs
from sdxs.bench.process import memory
from sdxs.config import CHECKPOINTS, EMBEDDED
from sdxs.picture import encode

LED: dict[str, Any] = {"styles": ["anime", "woodcut"], "controls": "sketch"}
THINGS = CHECKPOINTS[EMBEDDED].examples


def main(file: str, rounds: str, count: str) -> None:
    """Print one line of JSON: when the first picture was there, in seconds of `time.time`; then
    megabytes, and milliseconds from a new prompt to the JPEG."""
    model: Any = sdxs.SDXS.load(EMBEDDED, **LED)
    encode(model("a red house"))
    painted, spans = time.time(), []
    for seed in range(int(rounds)):
        start = time.perf_counter()
        encode(model(f"{THINGS[seed % len(THINGS)]} {seed}", seed=seed))
        spans.append(time.perf_counter() - start)
    told = {"painted": painted, "ms": 1000 * statistics.median(spans), **memory()}
    np.save(file, pictures(model, int(count)))
    print(json.dumps(told))


def pictures(model: Any, count: int) -> NDArray[np.uint8]:
    """(count, H, W, 3): prompts, seeds, styles and their strength, every fourth along a sketch."""
    return np.stack([np.asarray(model(**asked)) for asked in _requests(count)])


def _requests(count: int) -> Iterator[dict[str, Any]]:
    styles = [None, *LED["styles"]]
    for i in range(count):
        led = {"control": "sketch", "control_image": _house(i)} if i % 4 == 3 else {}
        style = {"style": styles[i % len(styles)], "style_scale": (0.5, 1.0, 1.5)[i // 3 % 3]}
        yield {"prompt": THINGS[i % len(THINGS)], "seed": 2**i % 2**62 + i, **style, **led}


def _house(i: int) -> Image.Image:
    """A control image: white lines on black, of a house that stands farther right each time."""
    page, left = Image.new("RGB", (256, 256)), 20 + 4 * i % 120
    draw = ImageDraw.Draw(page)
    draw.rectangle((left, 130, left + 90, 210), outline="white", width=4)
    draw.line((left, 130, left + 45, 80, left + 90, 130), fill="white", width=4)
    return page


if __name__ == "__main__":
    main(*sys.argv[1:])
