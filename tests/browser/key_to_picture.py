"""From a key to the picture on the text page: python -m tests.browser.key_to_picture [--keys 60]

Types prompts in a Chromium, a letter whenever the page rests, and measures from the moment that the
browser sees the key until the picture of the prompt as it then stands is on the page, with the live
numbers open; in turns with it the same on a page whose strip of seeds, final picture and numbers
hear of no picture, and how long the model alone takes for a new prompt, to the bytes of a JPEG.
The server and the browser share this machine. The last line is JSON.
"""

import argparse
import json
import time

import numpy as np
from playwright.sync_api import Page
from tqdm import tqdm

from sdxs import SDXS
from sdxs.page.ui import text_page
from sdxs.picture import encode
from sdxs.service.about import About
from tests.bare import SCRIPT
from tests.browser.conftest import opened, source

SEED = 0
WARMUP = 10  # keys

# Every picture that is shown, and when the last key was pressed.
WATCH = (
    SCRIPT
    + """
window.shown = [];
window.pressed = 0;
document.addEventListener("load", (event) => {
  if (event.target.id === "sdxs-picture") shown.push([performance.now(), event.target.src]);
}, true);
document.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
"""
)
# What page.js tells of reaches nobody: first come, first told.
DEAF = """
for (const name of ["shown", "rested", "stirred"])
  document.addEventListener(`sdxs:${name}`, (event) => event.stopImmediatePropagation(), true);
"""
RESTS = """
shown.some(([time]) => time > window.pressed) && !document.querySelector("[data-busy]")
"""
SHOWN = "wanted => shown.find(([, src]) => bare(src) === wanted)?.[0]"


def press(tab: Page, letter: str, model: SDXS) -> float:
    """Milliseconds from a key to the picture of the prompt as it then stands."""
    field = tab.get_by_label("Prompt")
    field.press("Space" if letter == " " else letter)
    tab.wait_for_function(RESTS, polling=20)  # nothing beside its work
    wanted = source(model(field.input_value(), seed=SEED))
    shown = tab.wait_for_function(SHOWN, arg=wanted).json_value()
    return float(shown - tab.evaluate("window.pressed"))


def figures(times: list[float]) -> dict[str, float]:
    median, most = np.percentile(times[WARMUP:], (50, 95))
    return {"median": round(float(median), 1), "p95": round(float(most), 1)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checkpoint", default="storybook")
    options.add_argument("--keys", type=int, default=60)
    chosen = options.parse_args()
    model = SDXS.load(chosen.checkpoint)
    about = About.of(model)
    letters = " ".join(about.examples) * (2 + chosen.keys // 10)
    keys, without, models = [], [], []
    with opened(text_page(model, about=about, together=8), WATCH) as tab:
        deaf = tab.context.browser.new_page()
        deaf.add_init_script(DEAF + WATCH)
        deaf.goto(tab.url)
        tab.locator("#sdxs-live").click()
        for number in tqdm(range(chosen.keys + WARMUP)):
            # a prompt each: one that was painted before is not encoded again
            pair = [(tab, letters[number], keys), (deaf, letters[number + 3], without)]
            for page, letter, times in reversed(pair) if number % 2 else pair:
                times.append(press(page, letter, model))
            start = time.perf_counter()
            encode(model(letters[: number + 1] + "x", seed=SEED))  # new to the model, too
            models.append(1000 * (time.perf_counter() - start))
            tab.wait_for_timeout(100)
    apart = float(np.median(np.subtract(keys, without)[WARMUP:]))
    facts = {
        "checkpoint": model.checkpoint,
        "device": str(model.device),
        "dtype": str(model.dtype),
        "keys": chosen.keys,
        "key_to_picture_ms": figures(keys),
        "without_ms": figures(without),
        "median_difference_ms": round(apart, 1),
        "model_ms": figures(models),
    }
    for name, title in (
        ("key_to_picture_ms", "from a key to its picture"),
        ("without_ms", "without what else the page does"),
        ("model_ms", "the model alone, for a new prompt"),
    ):
        print("{0}: {median} ms, 95th percentile {p95}".format(title, **facts[name]))
    print(f"the median of the pairs' differences: {apart:.1f} ms")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
