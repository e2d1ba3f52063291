"""From the pen's lift to the right picture: python -m tests.browser.pen_lift [--strokes 30]

Draws strokes on the canvas page in a Chromium, each through 20 places in about 0.3 s, and measures
from the moment that the browser sees the pen leave until the picture of the whole drawing is on the
page. The server and the browser share this machine. The last line is JSON.
"""

import argparse
import json
import random

import numpy as np
import torch
from playwright.sync_api import Page
from tqdm import tqdm

from sdxs import SDXS
from sdxs.page.ui import sketch_page
from sdxs.server.start import names
from sdxs.service.about import About
from tests.bare import SCRIPT
from tests.browser.canvas import DRAWN, picture_of
from tests.browser.conftest import opened, source

SEED = 0

# Every picture that is shown, and when the pen was last lifted.
WATCH = (
    SCRIPT
    + """
window.shown = [];
window.lifted = 0;
document.addEventListener("load", (event) => {
  if (event.target.id === "sdxs-picture") shown.push([performance.now(), event.target.src]);
}, true);
document.addEventListener("pointerup", () => { window.lifted = performance.now(); }, true);
"""
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checkpoint", default="storybook")
    options.add_argument("--controls", type=names, default="all", metavar="NAME=SOURCE")
    options.add_argument("--strokes", type=int, default=30)
    chosen = options.parse_args()
    model = SDXS.load(chosen.checkpoint, controls=chosen.controls)
    about = About.of(model)
    if not about.conditions:
        options.error(f"{model.checkpoint} has no control: name one, --controls sketch=FOLDER")
    page = sketch_page(model, model.condition, about=about)
    with opened(page, WATCH, viewport={"width": 1280, "height": 1000}) as tab:
        tab.wait_for_function("shown.length > 0")
        times = [lift(tab, model, about, number) for number in tqdm(range(chosen.strokes))]
    median, late = np.percentile(times, (50, 95))
    facts = {
        "checkpoint": model.checkpoint,
        "device": str(model.device),
        "dtype": str(model.dtype),
        "threads": torch.get_num_threads(),
        "strokes": len(times),
        "median_ms": round(float(median)),
        "p95_ms": round(float(late)),
    }
    print(f"from the pen's lift to the right picture: {median:.0f} ms, 95th percentile {late:.0f}")
    print(json.dumps(facts))


def lift(tab: Page, model: SDXS, about: About, number: int) -> float:
    """Milliseconds for one stroke on what is drawn already."""
    if number % 5 == 0:
        tab.get_by_role("button", name="Clear").click()
    box = tab.locator("#sdxs-drawing").bounding_box()
    assert box
    chance = random.Random(number)
    x, y = (
        box[side] + box[size] * chance.uniform(0.2, 0.6)
        for side, size in (("x", "width"), ("y", "height"))
    )
    tab.mouse.move(x, y)
    tab.mouse.down()
    for _ in range(20):
        x, y = x + chance.uniform(-4, 14), y + chance.uniform(-12, 12)
        tab.mouse.move(x, y)
        tab.wait_for_timeout(15)
    tab.mouse.up()
    tab.wait_for_function("!document.querySelector('[data-busy]')")  # nothing beside its work
    drawing = picture_of(tab.evaluate(DRAWN))
    way = about.conditions[0]
    image = model.condition(way, drawing)
    picture = model(about.examples[0], seed=SEED, control=way, control_image=image)
    wanted = source(picture)
    tab.wait_for_function("wanted => shown.some(([, src]) => bare(src) === wanted)", arg=wanted)
    shown = tab.evaluate(
        "wanted => shown.find(([time, src]) => bare(src) === wanted)[0] - window.lifted", wanted
    )
    return float(shown)


if __name__ == "__main__":
    main()
